"""Find the pictures of a folder that fit a sentence: `python examples/search_photos.py`.

On your own photos, with an index that stays: `python examples/search_photos.py photos/ "a dog on a
beach" --index photos.index --preset clip_vit_base_patch32_openai`, which needs a network once. The
second time only new and changed pictures are embedded. `keras-clip index` and `keras-clip search`
do the same without Python.
"""

import argparse
import tempfile
from pathlib import Path

import keras_clip
from keras_clip.catalogue import zoo_directory
from keras_clip.data import open_pictures
from keras_clip.search import Description, Index, combine


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=zoo_directory() / "demo")
    parser.add_argument("query", nargs="?", default="a red arrow")
    parser.add_argument("--minus", default=None, help="what is not wanted")
    parser.add_argument("--top", type=int, default=3)
    parser.add_argument("--where", default=None, help="such as: width > 100")
    parser.add_argument("--index", default=None, help="a directory; without it, nothing is kept")
    parser.add_argument("--preset", default="clip_resnet_tiny_shapes")
    options = parser.parse_args(arguments)

    clip = keras_clip.from_preset(options.preset)
    vision, text = clip.get_layer("vision"), clip.get_layer("text")
    with tempfile.TemporaryDirectory() as temporary:
        place = options.index or Path(temporary, "index")
        model = Description.of(options.preset, vision=vision, text=text)
        index = Index.open(place) if Index.exists(place) else Index.create(place, model)
        index.description.check(model, place)  # vectors of other weights mean something else
        pictures = open_pictures(options.folder)
        index.update(pictures, clip.image_processor, vision.predict_on_batch)

        query = clip.embed_texts(options.query)
        if options.minus:
            query = combine([query[0], clip.embed_texts(options.minus)[0]], [1, -1])[None]
        for hit in index.search(query, options.top, options.where)[0]:
            print(f"{hit.cosine:.3f}  {hit.path}")


if __name__ == "__main__":
    main()
