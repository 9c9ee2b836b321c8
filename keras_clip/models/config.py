"""What defines a model, as frozen dataclasses."""

from dataclasses import dataclass

from keras_clip.models.config_base import Config
from keras_clip.models.tower_configs import ResNetConfig, TextConfig, ViTConfig

__all__ = ["CLIPConfig", "Config", "ResNetConfig", "TextConfig", "ViTConfig"]


@dataclass(frozen=True)
class CLIPConfig(Config):
    """Both towers, whose `projection_dim` agree.

    Args:
        vision: ViTConfig or ResNetConfig.
        text: TextConfig.
        initial_scale: where the logit scale starts in training from scratch.
        max_scale: what it is clamped to.
    """

    vision: ViTConfig | ResNetConfig
    text: TextConfig
    initial_scale: float = 1 / 0.07
    max_scale: float = 100.0

    @staticmethod
    def nested(name, values):
        """Return the class of the tower in field `name`."""
        if name == "text":
            return TextConfig
        return ResNetConfig if "stage_blocks" in values else ViTConfig

    def __post_init__(self):
        if self.vision.projection_dim != self.text.projection_dim:
            raise ValueError(
                f"The towers project to different widths: {self.vision.projection_dim} (vision) "
                f"and {self.text.projection_dim} (text)."
            )
        if self.vision.num_classes:
            raise ValueError("The image tower of a CLIP has no head: num_classes is 0.")
