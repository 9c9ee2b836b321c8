"""Pictures are found in folders and lists, named, counted and told apart."""

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from keras_clip.data import Pictures, open_pictures
from keras_clip.data.places import SUFFIXES


def picture(path, size=(12, 10), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), "uint8")
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def classes(tmp_path):
    """Two classes, one with a folder inside, and files that are no pictures."""
    root = tmp_path / "photos"
    for name in ("dog/b.png", "cat/a.JPG", "cat/more/c.webp", "dog/.hidden.png"):
        picture(root / name)
    (root / "dog" / "notes.txt").write_text("no picture")
    (root / "fox").mkdir()
    return root


def test_a_folder_is_walked_and_sorted(classes):
    pictures = open_pictures(classes)
    assert pictures.keys == ["cat/a.JPG", "cat/more/c.webp", "dog/b.png"]
    assert len(pictures) == 3 and pictures[-1].key == "dog/b.png"
    assert pictures[2].read() == pictures.paths[2] == str(classes / "dog" / "b.png")
    with pytest.raises(IndexError):
        pictures[3]


def test_folders_in_a_folder_are_classes(classes):
    pictures = open_pictures(str(classes))
    assert pictures.class_names == ["cat", "dog", "fox"]
    assert pictures.labels.tolist() == [0, 0, 1] and pictures.labels.dtype == np.int64
    assert [one.label for one in (pictures[0], pictures[2])] == ["cat", "dog"]
    picture(classes / "lone.png")
    pictures = open_pictures(classes)
    assert pictures.labels is pictures.class_names is pictures[0].label is None


def test_some_of_the_pictures(classes):
    pictures = open_pictures(classes)
    assert isinstance(pictures[1:], Pictures) and pictures[1:].keys == pictures.keys[1:]
    chosen = pictures.select(np.array([2, 0]))
    assert chosen.keys == ["dog/b.png", "cat/a.JPG"] and chosen.labels.tolist() == [1, 0]
    assert chosen[0] == pictures[2] and chosen.class_names == pictures.class_names
    assert pickle.loads(pickle.dumps(chosen))[1] == pictures[0]


def test_links_in_circles_end_and_no_folder_is_taken_twice(classes):
    (classes / "cat" / "up").symlink_to(classes, target_is_directory=True)
    (classes / "ant").symlink_to(classes / "dog", target_is_directory=True)
    (classes / "self").symlink_to(classes / "self")
    assert open_pictures(classes).keys == ["cat/a.JPG", "cat/more/c.webp", "dog/b.png"]
    elsewhere = picture(classes.parent / "elsewhere" / "e.png").parent
    (classes / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert open_pictures(classes).keys[-1] == "linked/e.png"


def test_text_files_beside_pictures_are_their_captions(classes):
    assert open_pictures(classes).captions is None  # notes.txt is nobody's
    (classes / "dog" / "b.txt").write_bytes("\ufeffa dog\r\n\n zwei Hunde \n".encode())
    (classes / "cat" / "a.txt").write_text("")
    pictures = open_pictures(classes)
    assert [one.captions for one in pictures] == [(), (), ("a dog", "zwei Hunde")]
    assert pictures.labels.tolist() == [0, 0, 1] and pictures.select([2])[0] == pictures[2]
    assert pickle.loads(pickle.dumps(pictures))[2] == pictures[2]
    known = pictures.fingerprint
    (classes / "dog" / "b.txt").write_text("another")
    assert open_pictures(classes).fingerprint != known
    os.remove(classes / "dog" / "b.txt")
    with pytest.raises(FileNotFoundError):
        pictures[2]


def test_a_list_keeps_its_order_and_takes_folders_apart(classes, tmp_path):
    lone = str(picture(tmp_path / "z.png"))
    pictures = open_pictures([lone, classes / "cat"])
    assert pictures.keys == pictures.paths
    assert pictures.keys == [lone, *(str(classes / "cat" / n) for n in ("a.JPG", "more/c.webp"))]
    assert pictures.labels is None
    assert open_pictures(lone).keys == [lone]


def test_the_fingerprint_tells_of_every_change(classes):
    known = open_pictures(classes).fingerprint
    assert open_pictures(classes).fingerprint == known != open_pictures(classes)[1:].fingerprint
    file = classes / "dog" / "b.png"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    changed = open_pictures(classes).fingerprint
    assert changed != known
    (classes / "dog").rename(classes / "wolf")
    assert open_pictures(classes).fingerprint not in (known, changed)


def test_sizes_and_times_are_columns(classes):
    pictures = open_pictures(classes)
    os.remove(pictures.paths[1])
    sizes, times = pictures.stats()
    found = os.stat(pictures.paths[2])
    assert (sizes[2], times[2]) == (found.st_size, found.st_mtime_ns)
    assert sizes[1] == times[1] == -1


def test_nothing_found_says_what_was_looked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty: no picture") as error:
        open_pictures(tmp_path / "empty")
    assert all(suffix in str(error.value) for suffix in (*SUFFIXES, ".tar"))
    with pytest.raises(FileNotFoundError, match=r"empty: no picture"):
        open_pictures([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match=r"none: there is no such"):
        open_pictures(tmp_path / "none")
    with pytest.raises(ValueError, match="empty"):
        open_pictures([])
    with pytest.raises(ValueError, match=r"a\.png: the picture is in the list twice"):
        open_pictures(["a.png", "b.png", "a.png"])


def test_a_name_that_is_no_text_is_told(tmp_path):
    try:
        with open(os.fsencode(tmp_path) + b"/\xff.png", "wb"):
            pass
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    with pytest.raises(ValueError, match=r"xff\.png' is not UTF-8"):
        open_pictures(tmp_path)
