"""An index of pictures follows its folder, and takes only what changed."""

import os
import time

import numpy as np
import pytest
import search_pictures as made
from search_pictures import assert_holds, update

from keras_clip.data import open_pictures
from keras_clip.search import Description, Index, SearchError

pytest.importorskip("lancedb")


@pytest.fixture
def photos(tmp_path):
    return made.folder(tmp_path / "photos", 20)


@pytest.fixture
def index(tmp_path):
    return Index.create(tmp_path / "index", made.MODEL)


def test_only_what_is_new_or_changed_is_embedded_and_what_is_gone_leaves(index, photos):
    calls = []

    def counted(pixels):
        calls.append(len(pixels))
        return made.embed(pixels)

    first = update(index, photos, counted)
    assert (len(first.added), first.changed, first.removed, first.unchanged) == (20, [], [], 0)
    assert sum(calls) == 20 and first.total == 20
    assert_holds(index, photos)
    calls.clear()
    assert update(index, photos, counted).unchanged == 20 and not calls
    made.write(photos / "it's 001.png", 100)
    made.write(photos / "sub/new.png", 101)
    (photos / "it's 002.png").unlink()
    again = update(index, photos, counted)
    assert (len(again.added), len(again.changed), again.unchanged) == (1, 1, 18)
    assert again.removed == ["it's 002.png"] and sum(calls) == 2
    assert_holds(Index.open(index.directory), photos)


def test_a_dry_run_tells_the_same_and_writes_nothing(index, photos):
    expected = index.changes(open_pictures(photos))
    assert len(expected.added) == 20 and len(index) == 0
    done = update(index, photos)
    assert (done.added, done.changed, done.removed) == (expected.added, [], [])


def test_what_is_known_of_a_picture(index, photos):
    update(index, photos)
    (hits,) = index.search(made.vectors_of([photos / "it's 004.png"]), 1)
    stat = (photos / "it's 004.png").stat()
    assert (hits[0].path, hits[0].width, hits[0].height) == ("it's 004.png", 5, 4)
    assert hits[0].size == stat.st_size and hits[0].cosine == pytest.approx(1, abs=1e-6)
    assert hits[0].modified.timestamp() == pytest.approx(stat.st_mtime, abs=1e-5)
    assert 0 <= time.time() - hits[0].added.timestamp() < 600
    assert index.place(hits[0]) == str(photos / "it's 004.png")


def test_broken_pictures_are_named_and_tried_again_only_when_changed(index, photos):
    broken = photos / "it's 005.png"
    broken.write_bytes(b"no picture")
    (photos / "empty.png").touch()
    names = ["empty.png", "it's 005.png"]
    found = update(index, photos)
    assert [path for path, _ in found.broken] == names and found.total == 19
    assert all("image" in reason and str(photos) not in reason for _, reason in found.broken)
    found = update(index, photos)
    assert not found.rows and [path for path, _ in found.broken] == names
    made.write(broken, 5)
    (photos / "it's 007.png").write_bytes(b"broken now")
    found = update(index, photos)
    assert len(found.changed) == 2 and found.total == 19
    assert [path for path, _ in found.broken] == ["empty.png", "it's 007.png"]
    (photos / "it's 007.png").unlink()
    (photos / "empty.png").unlink()
    assert update(index, photos).broken == []
    assert_holds(index, photos)


def test_a_vector_that_is_no_number_is_refused_by_the_picture_s_name(index, photos):
    with pytest.raises(SearchError, match=r"it's 001.png: .* not finite"):
        update(index, photos, lambda pixels: made.embed(pixels) * np.nan)


def test_a_folder_that_moves_is_followed_and_another_is_refused(index, photos, tmp_path):
    update(index, photos)
    other = made.folder(tmp_path / "other", 3)
    with pytest.raises(SearchError, match=r"photos, not of .*other"):
        update(index, other)
    moved = photos.rename(tmp_path / "moved")
    assert update(index, moved).unchanged == 20
    (hits,) = Index.open(index.directory).search(np.ones((1, 16)), 1)
    assert os.path.isfile(index.place(hits[0]))


def test_pictures_of_a_table_and_of_shards(index, photos, tmp_path):
    import tarfile

    table = tmp_path / "photos.csv"
    table.write_text("path\nphotos/it's 001.png\nphotos/it's 002.png\n")
    assert update(index, table).total == 2
    (hits,) = index.search(made.vectors_of([photos / "it's 002.png"]), 1)
    assert index.place(hits[0]) == str(photos / "it's 002.png")
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        shard.add(photos / "it's 001.png", "one.png")
    other = Index.create(tmp_path / "shards", made.MODEL)
    assert update(other, tmp_path / "a.tar").total == 1


def test_two_updates_at_once_are_refused(index, photos):
    def nested(pixels):
        with pytest.raises(SearchError, match="another process"):
            update(Index.open(index.directory), photos)
        return made.embed(pixels)

    assert update(index, photos, nested, 32).total == 20


def test_a_directory_with_something_else_is_not_taken(photos, tmp_path):
    with pytest.raises(SearchError, match="something else"):
        Index.create(photos, made.MODEL)
    with pytest.raises(SearchError, match="something else"):
        Index.create(photos / "it's 001.png", made.MODEL)
    with pytest.raises(SearchError, match="no index"):
        Index.open(tmp_path / "nowhere")


def test_other_weights_and_another_configuration_are_refused_with_both_names(tmp_path):
    import tiny_models

    clip, other = tiny_models.tiny_clip(), tiny_models.tiny_clip(activation="quick_gelu")
    towers = {tower: clip.get_layer(tower) for tower in ("vision", "text")}
    made_with = Description.of("mine", **towers)
    made_with.write(tmp_path)
    known = Description.read(tmp_path)
    assert known == made_with and known.dimension == 6
    known.check(Description.of("mine again", text=towers["text"]), "x")
    for tower in towers.values():
        weight = tower.weights[0]
        weight.assign(weight + 1)
    for name in towers:
        changed = Description.of("yours", **{name: towers[name]})
        with pytest.raises(SearchError, match=r"x: made with mine .* yours .* other weights"):
            known.check(changed, "x")
    with pytest.raises(SearchError, match=r"made with mine .* yours .* another activation"):
        known.check(Description.of("yours", vision=other.get_layer("vision")), "x")
