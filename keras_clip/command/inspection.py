"""How `keras-clip inspect` shows what it has found."""

from keras_clip.command import terminal
from keras_clip.command.listing import flat
from keras_clip.command.terminal import escape
from keras_clip.convert.folding import folded

# The fields that tell models apart, in the order in which they are shown.
_MAIN = (
    *("hidden_dim", "num_layers", "num_heads", "mlp_dim", "stage_blocks", "width", "patch_size"),
    *("image_size", "vocabulary_size", "context_length", "activation", "epsilon", "pooling"),
    *("projection_dim", "num_classes"),
)
_MOST_CHARACTERS = 70
_MOST_LINES = 8


def show_inspected(report, every=False):
    """Print what `inspect` returns.

    Args:
        report: its dictionary.
        every: True: a line a tensor; False: numbered layers share one.
    """
    console = terminal.console()
    facts = terminal.table("", "")
    facts.show_header = False
    for name, value in (*_file(report), *_model(report["model"] or {})):
        facts.add_row(name, escape(printable(value)))
    console.print(facts)
    if report["why_not"]:
        console.print(
            f"[bold]no model is known for it[/bold]: {escape(printable(report['why_not']))}"
        )
    tensors = [(t["name"], tuple(t["shape"]), t["dtype"]) for t in report["tensors"]]
    lines = [(*tensor, 1) for tensor in tensors] if every else folded(tensors)
    table = terminal.table("tensor", "shape", "dtype", *([] if every else [">number"]))
    for name, shape, dtype, count in lines:
        numbers = [] if every else [str(count) if count > 1 else ""]
        table.add_row(escape(printable(name)), sizes(shape), dtype, *numbers)
    console.print(table)


def _file(report):
    """Rows about the file itself."""
    sizes_by_dtype = report["bytes_by_dtype"].items()
    by_dtype = ", ".join(f"{size / 1e6:,.1f} MB {dtype}" for dtype, size in sizes_by_dtype)
    yield "file", report["path"]
    yield "format", report["format"]
    yield "tensors", f"{len(report['tensors']):,} of {report['values']:,} values, {by_dtype}"
    if report["prefix"]:
        yield "names", f"without the prefix {report['prefix']}"
    for note in report["notes"]:
        yield "note", note
    yield "layout", f"{report['dialect']}, family {report['family']}" if report["model"] else "?"
    pairs = list(flat(report["metadata"]))
    for name, value in pairs[:_MOST_LINES]:
        yield f"metadata: {printable(name)}", _cut(value)
    if len(pairs) > _MOST_LINES:
        yield "metadata", f"and {len(pairs) - _MOST_LINES} more values (--json has them)"


def _model(model):
    """Rows about the model that would be built."""
    if not model:
        return
    config = model["config"]
    yield "model", f"{model['class']}, {model['params']:,} params"
    towers = {tower: config[tower] for tower in ("vision", "text") if tower in config}
    for tower, values in (towers or {"config": config}).items():
        yield tower, _fields(values)
    image = config.get("vision", config).get("image")
    if image:
        yield "pictures", ", ".join(f"{name} {_number(value)}" for name, value in image.items())
    tokenizer = model["tokenizer"]
    if tokenizer:
        ids = tokenizer.get("vocabulary_size")
        yield "tokenizer", f"{tokenizer['class']}, {ids:,} ids" if ids else tokenizer["why_not"]
    for kind in ("missing", "unused"):
        if model[kind]:
            lines = folded([(name, (), "") for name in model[kind]])
            names = ", ".join(name for name, *_ in lines[:_MOST_LINES])
            yield f"{kind} tensors", names + (", ..." if len(lines) > _MOST_LINES else "")


def _fields(values):
    shown = [(name, values[name]) for name in _MAIN if values.get(name) not in (None, 0)]
    return ", ".join(f"{name} {_number(value)}" for name, value in shown)


def _number(value):
    if isinstance(value, (tuple, list)) and all(type(n) is int for n in value):
        return sizes(value)
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(f"{n:.4g}" for n in value) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def sizes(shape):
    """(768, 3, 32, 32) -> `768 x 3 x 32 x 32`."""
    return " x ".join(str(size) for size in shape) or "a number"


def _cut(value):
    text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def printable(text):
    """Text from a file without what would steer a terminal: control characters as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
