"""Find where in a picture a text is: `python examples/where_is_it.py`.

On your own photo: `python examples/where_is_it.py photo.jpg "a dog" "a ball" --plot where.png
--preset clip_vit_base_patch16_dfn2b --image-size 448`, which needs a network once.
"""

import argparse
from pathlib import Path

from PIL import Image

import keras_clip
from keras_clip.catalogue import zoo_directory
from keras_clip.models.dense_similarity import dense_similarity
from keras_clip.preprocessing.crop_box import peak_place, seen_box

SCENE = zoo_directory() / "demo" / "scene_1.png"
TEXTS = ["a brown heart", "a red cross"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, default=SCENE)
    parser.add_argument("texts", nargs="*", default=TEXTS)
    parser.add_argument("--plot", help="file to draw to, such as where.png")
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes")
    # A larger picture than the model was trained with gives a finer grid, here 6 x 6 for 2 x 2.
    parser.add_argument("--image-size", type=int, default=192)
    options = parser.parse_args(arguments)

    clip = keras_clip.from_preset(options.preset, image_size=options.image_size)
    picture = Image.open(options.picture)
    pixels = clip.image_processor([picture])
    # No training and no other model: what each patch says, in the space that texts share.
    maps = dense_similarity(clip, pixels, clip.embed_texts(options.texts))[0]  # (h, w, texts)
    config = clip.image_processor.config
    box = seen_box(config, picture.height, picture.width)
    for number, text in enumerate(options.texts):
        x, y = peak_place(maps[..., number], box)
        cosine = maps[..., number].max()
        print(f"{text}: at ({x:.0f}, {y:.0f}) of {picture.size}, cosine {cosine:.2f}")
    if options.plot:
        from keras_clip import plot

        plot.save(plot.where(picture, maps, options.texts, config), options.plot)


if __name__ == "__main__":
    main()
