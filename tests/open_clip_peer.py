"""open_clip trained beside this package: its model and loss, torch's AdamW, the same rates."""

import math

import numpy as np

NOT_DECAYED = ("token_embedding.weight", "positional_embedding")


class OpenClipPeer:
    """One of open_clip's models, and what moves it.

    Args:
        directory: what `keras_clip.export_checkpoint` wrote for open_clip.
        learning_rate: float, the largest.
        steps: int, of the whole training.
        warmup_steps: int.
        weight_decay: float, of matrices and convolutions other than embeddings.
        betas, epsilon: of AdamW.
    """

    def __init__(
        self, directory, learning_rate, steps, warmup_steps, weight_decay, betas=(0.9, 0.98),
        epsilon=1e-6,
    ):  # fmt: skip
        import open_clip
        import torch

        self.model = open_clip.create_model(f"local-dir:{directory}").float().train()
        sigmoid = getattr(self.model, "logit_bias", None) is not None
        self.loss = open_clip.loss.SigLipLoss() if sigmoid else open_clip.ClipLoss()
        self.rate, self.steps, self.warmup_steps = learning_rate, steps, warmup_steps
        decayed, others = [], []
        for name, weight in self.model.named_parameters():
            decays = weight.ndim > 1 and not name.endswith(NOT_DECAYED)
            (decayed if decays else others).append(weight)
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others}]
        self.optimizer = torch.optim.AdamW(
            groups, self.rate, betas=betas, eps=epsilon, weight_decay=0.0
        )
        self.betas, self.epsilon, self.step_number = betas, epsilon, 0

    def step(self, images, token_ids):
        """Train on one batch, (n, H, W, 3) and (n, T) NumPy: its loss, a float."""
        import torch

        images = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
            group["eps"] = self._epsilon()
        self.optimizer.zero_grad()
        loss = self.loss(**self._features(images, torch.from_numpy(token_ids.astype("int64"))))
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():  # as open_clip's own training does
            self.model.logit_scale.clamp_(0, math.log(100))
        self.step_number += 1
        return float(loss.detach())

    def _features(self, images, token_ids):
        found = self.model(images, token_ids)
        if isinstance(found, dict):
            return found
        names = ("image_features", "text_features", "logit_scale", "logit_bias")
        return dict(zip(names, found, strict=False))

    def _rate(self):
        """From rate / warm-up to the rate, then along a cosine to 0."""
        step, warm = self.step_number, self.warmup_steps
        if step < warm:
            return self.rate * (1 + (warm - 1) * step / warm) / warm
        return self.rate / 2 * (1 + math.cos(math.pi * (step - warm) / (self.steps - warm)))

    def _epsilon(self):
        """Torch adds epsilon behind the bias correction of the second moment, Keras before it."""
        return self.epsilon / math.sqrt(1 - self.betas[1] ** (self.step_number + 1))
