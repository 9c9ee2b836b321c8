"""The contrastive losses."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_clip")
class ContrastiveLoss:
    """What a CLIP learns from a batch of pairs; of which kind, its configuration says.

    A model with a bias (SigLIP) judges each pair by a sigmoid: the sum over texts, and mean over
    images, of the binary cross entropies. Any other has the cross entropies of a softmax over the
    texts of each image, and over the images of each text: the mean of both. In both, texts and
    images that belong together (several captions of an image, pairs of one group) are positives;
    the softmax's target is spread evenly over them. All is computed in float32.

    Args:
        label_smoothing: float in [0, 1). The share of a softmax's target that is spread over all,
            as in torch's `cross_entropy`; 0 for a sigmoid.
        match_duplicates: bool. Whether equal captions, and equal images, of a batch make their
            pairs positives of each other; 64-bit fingerprints of them are compared.
        teacher: CLIP or None. Its logits of the same batch, at its own scale, are a second target,
            in both directions. It is not trained and not saved with the trained model.
        distillation_weight: float. What the cross entropy to the teacher's target is multiplied
            with.

    Raises:
        ValueError: a number is out of its range.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), figure 3; "Sigmoid Loss
    for Language Image Pre-Training" (arXiv 2303.15343), section 3.2; "Unified Contrastive Learning
    in Image-Text-Label Space" (arXiv 2204.03610), equations 3 and 4; mlfoundations/open_clip
    `open_clip/loss.py`, `DistillClipLoss`.
    """

    def __init__(
        self, label_smoothing=0.0, match_duplicates=False, teacher=None, distillation_weight=1.0
    ):
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is at least 0 and below 1, not {label_smoothing}.")
        if distillation_weight < 0:
            raise ValueError(f"distillation_weight is at least 0, not {distillation_weight}.")
        self.label_smoothing = label_smoothing
        self.match_duplicates = match_duplicates
        self.teacher = teacher
        self.distillation_weight = distillation_weight

    def softmax(self, logits, positives=None, teacher_logits=None):
        """Loss of a batch: logits (n, m) -> scalar.

        Args:
            logits: (n, m) float32, images by texts.
            positives: (n, m) bool, at least one in each row and column; None: the diagonal.
            teacher_logits: (n, m) or None.
        """
        both = (logits, positives, teacher_logits)
        turned = (None if x is None else ops.transpose(x) for x in both)
        return (self._one_way(*both) + self._one_way(*turned)) / 2

    def _one_way(self, logits, positives, teacher_logits):
        likelihoods = ops.log_softmax(logits, axis=-1)
        if positives is None:
            loss = -ops.diagonal(likelihoods)
        else:
            chosen = ops.sum(ops.where(positives, likelihoods, 0.0), axis=-1)
            loss = -chosen / ops.sum(ops.cast(positives, "float32"), axis=-1)
        if self.label_smoothing:
            evenly = -ops.mean(likelihoods, axis=-1)
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * evenly
        if teacher_logits is not None:
            soft = ops.softmax(teacher_logits, axis=-1)
            loss = loss - self.distillation_weight * ops.sum(soft * likelihoods, axis=-1)
        return ops.mean(loss)

    def sigmoid(self, logits, positives, teacher_logits=None):
        """Loss of each image: logits (c, m) -> (c,); arguments as in `softmax`."""
        yes, no = ops.log_sigmoid(logits), ops.log_sigmoid(-logits)
        loss = ops.where(positives, yes, no)
        if teacher_logits is not None:
            soft = ops.sigmoid(teacher_logits)
            loss = loss + self.distillation_weight * (soft * yes + (1 - soft) * no)
        return -ops.sum(loss, axis=-1)

    def get_config(self):
        """Return the arguments; a teacher is only named, since its weights are not saved."""
        return {
            "label_smoothing": self.label_smoothing,
            "match_duplicates": self.match_duplicates,
            "teacher": getattr(self.teacher, "name", self.teacher),
            "distillation_weight": self.distillation_weight,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
