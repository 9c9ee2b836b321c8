"""What defines a model: everything that changes its numbers, as frozen dataclasses."""

from dataclasses import asdict, dataclass, field, fields, replace

from keras_clip.layers.activations import get_activation
from keras_clip.preprocessing.images import ImageConfig

POSITION_RESIZES = ("bicubic_antialias", "bicubic", "bilinear_aligned", "bicubic_offset")
VISION_POOLINGS = ("class_token", "mean")
TEXT_POOLINGS = ("highest_id", "end_token", "last")


class Config:
    """Base of the configurations: to and from plain dictionaries, strict about keys."""

    def to_dict(self):
        """Return the fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Build from a dictionary, nested ones included.

        Raises:
            ValueError: a key is no field of this configuration, or a required one is absent.
        """
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{cls.__name__} has no {unknown}; its fields are {sorted(known)}.")
        built = {}
        for name, value in values.items():
            if name == "image" and isinstance(value, dict):
                built[name] = ImageConfig.from_dict(value)
            elif name in ("vision", "text") and isinstance(value, dict):
                built[name] = _tower_kind(name, value).from_dict(value)
            else:
                built[name] = tuple(value) if isinstance(value, list) else value
        try:
            return cls(**built)
        except TypeError as error:
            raise ValueError(f"{cls.__name__} cannot be built: {error}.") from None

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def _check_encoder(self):
        for name in ("hidden_dim", "num_layers", "num_heads", "mlp_dim"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a positive integer, not {value!r}.")
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                f"hidden_dim={self.hidden_dim} is not divisible by num_heads={self.num_heads}."
            )
        get_activation(self.activation)


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _tower_kind(name, values):
    if name == "text":
        return TextConfig
    return ResNetConfig if "stage_blocks" in values else ViTConfig


def _one_of(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}, not {value!r}.")


@dataclass(frozen=True)
class ViTConfig(Config):
    """A vision transformer, alone or as the image tower of a CLIP.

    Args:
        hidden_dim, num_layers, num_heads, mlp_dim: the encoder's sizes.
        patch_size: int or (height, width) in pixels.
        image_size: int or (height, width) in pixels.
        activation: `gelu`, `gelu_tanh` or `quick_gelu`.
        epsilon: of every layer norm.
        num_prefix_tokens: class token and registers; 0 for none.
        pooling: `class_token` or `mean` (of the patches), where there is a head or projection.
        use_patch_bias, use_qkv_bias: whether these projections have a bias.
        use_norm_pre: a layer norm before the first block, as in CLIP.
        layer_scale: initial gain of each residual branch, or None.
        dropout_rate, stochastic_depth_rate: regularisation in training; the depth rate grows
            linearly over the blocks up to this value.
        position_resize: how positions go to another grid (see `keras_clip.models.resize`).
        projection_dim: width of CLIP's shared space; None for a plain ViT.
        pre_logits_dim: width of a tanh layer before the head, or None.
        num_classes: classes of the head; 0: no head, the output is the token sequence.
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
    pooling: str = "class_token"
    use_patch_bias: bool = True
    use_qkv_bias: bool = True
    use_norm_pre: bool = False
    layer_scale: float | None = None
    dropout_rate: float = 0.0
    stochastic_depth_rate: float = 0.0
    position_resize: str = "bicubic_antialias"
    projection_dim: int | None = None
    pre_logits_dim: int | None = None
    num_classes: int = 0
    head_activation: str | None = "softmax"
    labels: tuple | None = None
    image: ImageConfig = field(default_factory=ImageConfig)

    def __post_init__(self):
        object.__setattr__(self, "patch_size", _pair(self.patch_size))
        object.__setattr__(self, "image_size", _pair(self.image_size))
        object.__setattr__(self, "image", replace(self.image, size=self.image_size))
        self._check_encoder()
        _one_of("pooling", self.pooling, VISION_POOLINGS)
        _one_of("position_resize", self.position_resize, POSITION_RESIZES)
        _one_of("head_activation", self.head_activation, ("softmax", "sigmoid", None))
        if self.pooling == "class_token" and not self.num_prefix_tokens:
            raise ValueError("pooling='class_token' needs num_prefix_tokens of at least 1.")
        if any(s % p for s, p in zip(self.image_size, self.patch_size, strict=True)):
            raise ValueError(
                f"image_size={self.image_size} is not divisible by patch_size={self.patch_size}."
            )
        if self.labels is not None and len(self.labels) != self.num_classes:
            raise ValueError(f"{len(self.labels)} labels for num_classes={self.num_classes}.")

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
    num_prefix_tokens = 1
    STRIDE = 32

    def __post_init__(self):
        object.__setattr__(self, "image_size", _pair(self.image_size))
        object.__setattr__(self, "image", replace(self.image, size=self.image_size))
        _one_of("position_resize", self.position_resize, POSITION_RESIZES)
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
    dropout_rate: float = 0.0

    def __post_init__(self):
        self._check_encoder()
        _one_of("pooling", self.pooling, TEXT_POOLINGS)
        if self.pooling == "end_token" and self.end_token_id is None:
            raise ValueError("pooling='end_token' needs end_token_id.")


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

    def __post_init__(self):
        if self.vision.projection_dim != self.text.projection_dim:
            raise ValueError(
                f"The towers project to different widths: {self.vision.projection_dim} (vision) "
                f"and {self.text.projection_dim} (text)."
            )
        if self.vision.num_classes:
            raise ValueError("The image tower of a CLIP has no head: num_classes is 0.")
