"""What defines a tower: everything that changes its numbers."""

from dataclasses import dataclass, field, replace

from keras_clip.models.config_base import Config, one_of, pair
from keras_clip.preprocessing.image_config import ImageConfig

POSITION_RESIZES = ("bicubic_antialias", "bicubic", "bilinear_aligned", "bicubic_offset")
VISION_POOLINGS = ("class_token", "mean", "class_and_mean", "attention")
FINAL_NORMS = ("tokens", "pooled", None)
TEXT_POOLINGS = ("highest_id", "end_token", "last")


@dataclass(frozen=True)
class ViTConfig(Config):
    """A vision transformer, alone or as the image tower of a CLIP.

    Args:
        hidden_dim, num_layers, num_heads, mlp_dim: the encoder's sizes.
        patch_size: int or (height, width) in pixels.
        image_size: int or (height, width) in pixels.
        activation: `gelu`, `gelu_tanh`, `quick_gelu` or `swiglu`.
        epsilon: of every layer norm.
        num_prefix_tokens: class token and others that have a position; 0 for none.
        use_prefix_positions: False: only patches have positions, the prefix comes behind them.
        num_register_tokens: tokens without a position, inserted behind the prefix.
        pooling: `class_token`, `mean` (of the patches) or `class_and_mean`, where there is a head
            or projection; or `attention` (a learned query), which a ViT without a head has too.
        final_norm: what the last layer norm works on: `tokens`, `pooled`, or None for no norm.
        use_patch_bias, use_qkv_bias: whether these projections have a bias.
        use_norm_pre: a layer norm before the first block, as in CLIP.
        layer_scale: initial gain of each residual branch, or None.
        dropout_rate, stochastic_depth_rate: regularisation in training; the depth rate grows
            linearly over the blocks up to this value.
        patch_dropout_rate: part of the patches that is left out in training (FLIP).
        position_resize: how positions go to another grid (see `keras_clip.models.resize`).
        projection_dim: width of CLIP's shared space; None for a plain ViT.
        use_projection_bias: whether this projection has a bias.
        pre_logits_dim: width of a tanh layer before the head, or None.
        num_classes: classes of the head; 0: no head, the output is the token sequence.
        use_distillation_head: a second head on the second prefix token, as DeiT has; the logits
            are the mean of both.
        head_activation: `softmax`, or None for logits.
        labels: class names, or None.
        image: how pictures become pixels; its size always is `image_size`.
    """

    hidden_dim: int
    num_layers: int
    num_heads: int
    mlp_dim: int
    patch_size: tuple = (16, 16)
    image_size: tuple = (224, 224)
    activation: str = "gelu"
    epsilon: float = 1e-6
    num_prefix_tokens: int = 1
    use_prefix_positions: bool = True
    num_register_tokens: int = 0
    pooling: str = "class_token"
    final_norm: str | None = "tokens"
    use_patch_bias: bool = True
    use_qkv_bias: bool = True
    use_norm_pre: bool = False
    layer_scale: float | None = None
    dropout_rate: float = 0.0
    stochastic_depth_rate: float = 0.0
    patch_dropout_rate: float = 0.0
    position_resize: str = "bicubic_antialias"
    projection_dim: int | None = None
    use_projection_bias: bool = False
    pre_logits_dim: int | None = None
    num_classes: int = 0
    use_distillation_head: bool = False
    head_activation: str | None = "softmax"
    labels: tuple | None = None
    image: ImageConfig = field(default_factory=ImageConfig)

    def __post_init__(self):
        object.__setattr__(self, "patch_size", pair(self.patch_size))
        object.__setattr__(self, "image_size", pair(self.image_size))
        object.__setattr__(self, "image", replace(self.image, size=self.image_size))
        self._check_encoder()
        one_of("pooling", self.pooling, VISION_POOLINGS)
        one_of("position_resize", self.position_resize, POSITION_RESIZES)
        one_of("head_activation", self.head_activation, ("softmax", "sigmoid", None))
        one_of("final_norm", self.final_norm, FINAL_NORMS)
        if self.pooling.startswith("class_") and not self.num_prefix_tokens:
            raise ValueError(f"pooling={self.pooling!r} needs num_prefix_tokens of at least 1.")
        if self.use_distillation_head and (self.num_prefix_tokens < 2 or not self.num_classes):
            raise ValueError("use_distillation_head needs num_classes and num_prefix_tokens=2.")
        if self.final_norm == "pooled" and not self.is_pooled:
            raise ValueError("final_norm='pooled' needs a head, a projection or attention pooling.")
        if any(s % p for s, p in zip(self.image_size, self.patch_size, strict=True)):
            raise ValueError(
                f"image_size={self.image_size} is not divisible by patch_size={self.patch_size}."
            )
        if self.labels is not None and len(self.labels) != self.num_classes:
            raise ValueError(f"{len(self.labels)} labels for num_classes={self.num_classes}.")

    @property
    def is_pooled(self):
        """Whether the output is one vector a picture and not its tokens."""
        return bool(self.projection_dim or self.num_classes or self.pooling == "attention")

    @property
    def embedding_dim(self):
        """Width of the output of an image tower."""
        return self.projection_dim or self.hidden_dim

    @property
    def num_position_tokens(self):
        """Prefix tokens that have a position."""
        return self.num_prefix_tokens if self.use_prefix_positions else 0

    @property
    def grid_size(self):
        """Patches down and across: (height, width)."""
        return tuple(s // p for s, p in zip(self.image_size, self.patch_size, strict=True))


@dataclass(frozen=True)
class ResNetConfig(Config):
    """CLIP's ResNet image tower.

    Args:
        stage_blocks: blocks of each of the four stages, such as (3, 4, 6, 3).
        width: channels behind the stem; the last stage ends with 32 times as many.
        num_heads: of the attention that pools the feature map.
        projection_dim: width of CLIP's shared space.
        image_size: int or (height, width) in pixels, multiples of 32.
        epsilon: of every batch norm.
        position_resize: how positions go to another grid (see `keras_clip.models.resize`).
        image: how pictures become pixels; its size always is `image_size`.
    """

    stage_blocks: tuple
    width: int
    num_heads: int
    projection_dim: int
    image_size: tuple = (224, 224)
    epsilon: float = 1e-5
    position_resize: str = "bicubic_antialias"
    image: ImageConfig = field(default_factory=ImageConfig)

    num_classes = 0
    num_position_tokens = 1
    is_pooled = True
    STRIDE = 32

    def __post_init__(self):
        object.__setattr__(self, "image_size", pair(self.image_size))
        object.__setattr__(self, "image", replace(self.image, size=self.image_size))
        one_of("position_resize", self.position_resize, POSITION_RESIZES)
        if any(side % self.STRIDE for side in self.image_size):
            raise ValueError(f"image_size={self.image_size} is not a multiple of {self.STRIDE}.")
        if len(self.stage_blocks) != 4:
            raise ValueError(f"stage_blocks holds four numbers, not {self.stage_blocks}.")
        if self.STRIDE * self.width % self.num_heads:
            raise ValueError(
                f"{self.STRIDE} x width={self.width} is not divisible by "
                f"num_heads={self.num_heads}."
            )

    @property
    def hidden_dim(self):
        """Channels of the last feature map."""
        return self.STRIDE * self.width

    @property
    def embedding_dim(self):
        """Width of the output."""
        return self.projection_dim

    @property
    def grid_size(self):
        """Cells of the last feature map, down and across: (height, width)."""
        return tuple(side // self.STRIDE for side in self.image_size)


@dataclass(frozen=True)
class TextConfig(Config):
    """The text tower of a CLIP.

    Args:
        vocabulary_size: number of token ids.
        context_length: longest text in tokens, start and end included.
        hidden_dim, num_layers, num_heads, mlp_dim: the encoder's sizes.
        activation, epsilon: as in `ViTConfig`.
        causal: whether a token sees only those before it.
        pooling: `highest_id` (the first position of the highest id, CLIP's rule), `end_token`
            (the first position of `end_token_id`) or `last`.
        end_token_id: id that ends a text; only `end_token` needs it.
        pad_token_id: id that fills a row up; with a causal mask it changes nothing.
        projection_dim: width of the shared space.
        use_projection_bias: whether the projection to it has a bias.
        dropout_rate: regularisation in training.
    """

    vocabulary_size: int = 49408
    context_length: int = 77
    hidden_dim: int = 512
    num_layers: int = 12
    num_heads: int = 8
    mlp_dim: int = 2048
    activation: str = "quick_gelu"
    epsilon: float = 1e-5
    causal: bool = True
    pooling: str = "highest_id"
    end_token_id: int | None = None
    pad_token_id: int = 0
    projection_dim: int = 512
    use_projection_bias: bool = False
    dropout_rate: float = 0.0

    def __post_init__(self):
        self._check_encoder()
        one_of("pooling", self.pooling, TEXT_POOLINGS)
        if self.pooling == "end_token" and self.end_token_id is None:
            raise ValueError("pooling='end_token' needs end_token_id.")
