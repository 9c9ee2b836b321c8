"""What is to be built of a checkpoint, and how it is filled."""

from dataclasses import dataclass, field, replace

from keras_clip.convert import CheckpointError
from keras_clip.convert.table import Table, read
from keras_clip.convert.views import View
from keras_clip.layers.layer_state import restore_state
from keras_clip.models.changes import changed
from keras_clip.models.clip import CLIP
from keras_clip.models.config import CLIPConfig, Config, TextConfig, ViTConfig, vision_config
from keras_clip.models.deferred_weights import deferred_weights
from keras_clip.models.preset_model import Tokenized
from keras_clip.models.preset_tokenizer import pick_tokenizer
from keras_clip.models.resize import position_adaptation
from keras_clip.models.towers import TextTower, VisionTower
from keras_clip.models.vit import ViT
from keras_clip.models.weights import named_weights
from keras_clip.sources import locate

# How a configuration is built from a dictionary, and a model from a configuration.
FAMILIES = {
    "clip": (CLIPConfig.from_dict, CLIP),
    "siglip": (CLIPConfig.from_dict, CLIP),
    "clip_vision": (vision_config, VisionTower),
    "clip_text": (TextConfig.from_dict, TextTower),
    "vit": (ViTConfig.from_dict, ViT),
    "deit": (ViTConfig.from_dict, ViT),
    "dinov2": (ViTConfig.from_dict, ViT),
}
HEADS = ("head", "head_distillation")
TOWERS = {"vision": "clip_vision", "text": "clip_text"}


@dataclass(frozen=True)
class Plan:
    """What is to be built, and how a checkpoint fills it.

    Args:
        family: a key of FAMILIES.
        layout: a key of DIALECTS, or `keras` for this package's own.
        stored: configuration of the checkpoint.
        table: Table from its tensors to the weights.
        wanted: configuration of the model, or None: as stored.
        view: View of the checkpoint, with the names of the table; None where there is none.
        frozen: state of the layers that do not train, as `restore_state` takes it.
    """

    family: str
    layout: str
    stored: Config
    table: Table
    wanted: Config | None = None
    view: View | None = None
    frozen: dict = field(default_factory=dict)

    def change(self, *changes):
        """The same with what the user wants to be different; see `changed`."""
        return replace(self, wanted=changed(self.stored, *changes))

    def only(self, tower):
        """The same for one tower alone; None: for all."""
        if tower is None:
            return self
        if tower not in TOWERS or not isinstance(self.stored, CLIPConfig):
            raise ValueError(f"tower={tower!r}: a CLIP has {sorted(TOWERS)}, others have none.")
        stored, wanted = getattr(self.stored, tower), getattr(self.wanted, tower)
        table = self.table.inside(f"{tower}/")
        frozen = {
            path.removeprefix(tower).removeprefix("/"): kept
            for path, kept in self.frozen.items()
            if path == tower or path.startswith(f"{tower}/")
        }
        return Plan(TOWERS[tower], self.layout, stored, table, wanted, self.view, frozen)

    def sources(self, checkpoint):
        """Names of the tensors of a checkpoint that the model needs."""
        return list(dict.fromkeys(r.source for r in self.table.rows if r.source in checkpoint))

    def build(self, dtype, tokenizer, beside):
        """The model, its weights fresh; `beside` are places where its tokenizer may be."""
        model = FAMILIES[self.family][1]
        if not issubclass(model, Tokenized):
            if tokenizer is not None:
                raise ValueError(f"A {model.__name__} takes no tokenizer.")
            return model(self.wanted, dtype=dtype)
        text = getattr(self.wanted, "text", self.wanted)
        tokenizer = pick_tokenizer(text, tokenizer, beside, locate)
        return model(self.wanted, tokenizer=tokenizer, dtype=dtype)

    @property
    def has_new_head(self):
        """Whether the model has other classes than the checkpoint."""
        stored, wanted = (getattr(c, "num_classes", 0) for c in (self.stored, self.wanted))
        return stored != wanted

    def freeze(self, model):
        """Freeze what did not train when the preset was saved, but for a new head: the model."""
        new = (*HEADS, "head_mean", "predictions", "pre_logits") if self.has_new_head else ()
        try:
            restore_state(model, {p: kept for p, kept in self.frozen.items() if p not in new})
        except ValueError as error:
            raise CheckpointError(f"config.json: {error}") from None
        return model

    def load(self, build, checkpoint):
        """Build the model and fill it; only a new head keeps its fresh weights."""
        stored, wanted, prefix, new_head = self.stored, self.wanted, "", self.has_new_head
        if isinstance(stored, CLIPConfig):
            stored, wanted, prefix = stored.vision, wanted.vision, "vision/"
        adapt = position_adaptation(stored, wanted, prefix) if hasattr(stored, "grid_size") else {}
        with deferred_weights(keep=HEADS if new_head else ()) as slots:
            model = build()
            weights = slots(named_weights(model))
            dropped = tuple(f"{name}/" for name in (*HEADS, "pre_logits"))
            table = self.table.without(*dropped) if new_head else self.table
            read(table, checkpoint, weights, adapt)
        return model
