"""Write the table of presets into README.md: `python scripts/readme_presets.py`."""

from pathlib import Path

from keras_clip.command.listing import imagenet, presets

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- presets: begin -->", "<!-- presets: end -->"


def table(entries):
    """A Markdown table of presets, one a line."""
    lines = [
        "| preset | weights | image | ImageNet-1k top-1 | licence |",
        "|---|--:|--:|--:|---|",
    ]
    for entry in entries:
        metric = imagenet(entry)
        accuracy = f"{metric['value']:.1f} %" if metric else ""
        size = image_size(entry)
        lines.append(
            f"| `{entry['name']}` | {entry['params'] / 1e6:,.1f} M | {size} | {accuracy} "
            f"| {entry['license']} |"
        )
    return "\n".join(lines)


def image_size(entry):
    """Height and width in pixels, or their one value; empty where it is not in the table."""
    config = entry.get("config", {})
    size = config.get("vision", config).get("image_size", "")
    size = size if isinstance(size, list) else [size]
    return " x ".join(str(side) for side in dict.fromkeys(size))


def section():
    """What stands between the two marks."""
    clips, vits = (presets(family) for family in ("clip", "vit"))
    return "\n".join(
        [
            BEGIN,
            table(clips),
            "",
            f"<details><summary>{len(vits)} ViT presets</summary>",
            "",
            table(vits),
            "",
            "</details>",
            END,
        ]
    )


def updated(text):
    """README's text with the section as the zoo has it now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + section() + after


if __name__ == "__main__":
    README.write_text(updated(README.read_text("utf-8")), "utf-8")
