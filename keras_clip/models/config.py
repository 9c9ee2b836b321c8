"""What defines a model, as frozen dataclasses."""

from dataclasses import dataclass

from keras_clip.models.config_base import Config
from keras_clip.models.naflex import NaFlexConfig
from keras_clip.models.tower_configs import ResNetConfig, TextConfig, ViTConfig

__all__ = ["CLIPConfig", "Config", "NaFlexConfig", "ResNetConfig", "TextConfig", "ViTConfig"]


def vision_config(values):
    """Build the configuration of an image tower, whichever its dictionary describes."""
    if "stage_blocks" in values:
        return ResNetConfig.from_dict(values)
    return (NaFlexConfig if "grid_size" in values else ViTConfig).from_dict(values)


@dataclass(frozen=True)
class CLIPConfig(Config):
    """Both towers, whose outputs are of one width.

    Args:
        vision: ViTConfig, ResNetConfig or NaFlexConfig.
        text: TextConfig.
        initial_scale: where the logit scale starts in training from scratch. None: 1 / 0.07 as in
            CLIP, or 10 with an `initial_bias`, as in SigLIP.
        max_scale: what it is clamped to, or None.
        initial_bias: None: trained by softmax over a batch, as CLIP; a number: every pair is
            judged alone, by a sigmoid of logits with a bias that starts here, as SigLIP, whose
            paper has -10.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 2.5; "Sigmoid Loss
    for Language Image Pre-Training" (arXiv 2303.15343), section 3.2.
    """

    vision: ViTConfig | ResNetConfig | NaFlexConfig
    text: TextConfig
    initial_scale: float | None = None
    max_scale: float | None = 100.0
    initial_bias: float | None = None

    @property
    def is_sigmoid(self):
        """Whether each pair is judged alone, and not against the others of a batch."""
        return self.initial_bias is not None

    @staticmethod
    def nested(name, values):
        """Build the configuration of the tower in field `name`."""
        return TextConfig.from_dict(values) if name == "text" else vision_config(values)

    def __post_init__(self):
        if self.initial_scale is None:
            object.__setattr__(self, "initial_scale", 10.0 if self.is_sigmoid else 1 / 0.07)
        if self.vision.num_classes:
            raise ValueError("The image tower of a CLIP has no head: num_classes is 0.")
        if not self.vision.is_pooled:
            raise ValueError("The image tower of a CLIP has a projection, or attention pooling.")
        if self.vision.embedding_dim != self.text.projection_dim:
            raise ValueError(
                f"The towers project to different widths: {self.vision.embedding_dim} (vision) "
                f"and {self.text.projection_dim} (text)."
            )
