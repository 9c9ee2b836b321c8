"""Write the tables of presets into README.md and zoo/README.md: run this file."""

from pathlib import Path

from keras_clip.command.listing import how, image_size, imagenet, presets

ROOT = Path(__file__).parents[1]
README, ZOO = ROOT / "README.md", ROOT / "zoo" / "README.md"
BEGIN, END = "<!-- presets: begin -->", "<!-- presets: end -->"
FAMILIES = {
    "clip": "CLIP: pictures and texts in one space, told apart within a batch",
    "siglip": "SigLIP: the same, every pair judged alone; probabilities by a sigmoid",
    "vit": "ViT: classifiers and encoders of Google's",
    "deit": "DeiT: classifiers trained on ImageNet-1k alone",
    "dinov2": "DINOv2: encoders trained without labels, with and without a linear head",
}
# Of each use and size one to begin with; README.md shows these.
CHOICE = (
    "clip_resnet_tiny_shapes",
    "clip_vit_base_patch32_openai",
    "clip_vit_base_patch16_dfn2b",
    "clip_vit_large_patch14_datacomp_xl_s13b_b90k",
    "clip_vit_huge_patch14_378_dfn5b",
    "clip_vit_huge_patch14_metaclip2_worldwide",
    "clip_resnet50_openai",
    "siglip_vit_base_patch16_256_i18n_webli",
    "siglip2_vit_base_patch16_256_webli",
    "siglip2_vit_so400m_patch16_384_webli",
    "siglip2_naflex_base_patch16_webli",
    "vit_tiny_patch16_224_augreg_in21k_ft_in1k",
    "vit_base_patch16_384_augreg_in21k_ft_in1k",
    "deit_small_distilled_patch16_224_in1k",
    "dinov2_vit_base_patch14_reg4_lvd142m",
)
TOP = """# Presets

Every name below goes into `keras_clip.from_preset`. Accuracies are published ones; `keras-clip info
NAME` gives each number's protocol and source, and the whole configuration. A licence is that of the
weights. `keras-clip list --sort imagenet_zero_shot` sorts them.

This page is written by `scripts/preset_tables.py` from the TOML files beside it.
"""


def table(entries):
    """A Markdown table of presets, one a line."""
    lines = [
        "| preset | weights | image | ImageNet-1k top-1 | licence |",
        "|---|--:|--:|--:|---|",
    ]
    for entry in entries:
        metric = imagenet(entry)
        accuracy = f"{metric['value']:.1f} % ({how(metric)})" if metric else ""
        lines.append(
            f"| `{entry['name']}` | {entry['params'] / 1e6:,.1f} M | {picture(entry)} | {accuracy} "
            f"| {entry['license']} |"
        )
    return "\n".join(lines)


def picture(entry):
    """Height and width in pixels, or their one value."""
    if "config" not in entry:
        return ""
    return " x ".join(str(side) for side in dict.fromkeys(image_size(entry))) or "any"


def section():
    """What stands between the two marks of README.md."""
    known = {entry["name"]: entry for entry in presets()}
    more = f"All {len(known)} are in [zoo/README.md](zoo/README.md)."
    return "\n".join([BEGIN, table([known[name] for name in CHOICE]), "", more, END])


def updated(text):
    """README's text with the section as the zoo has it now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + section() + after


def zoo():
    """All of zoo/README.md."""
    parts = [TOP]
    for family, title in FAMILIES.items():
        entries = presets(family)
        parts.append(f"## {title}\n\n{len(entries)} presets.\n\n{table(entries)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    README.write_text(updated(README.read_text("utf-8")), "utf-8")
    ZOO.write_text(zoo(), "utf-8")
