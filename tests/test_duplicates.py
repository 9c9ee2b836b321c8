"""Near-duplicates: the connected components of all pairs above a cosine, as networks count them."""

import numpy as np
import pytest
import search_pictures as made

from keras_clip.data import open_pictures
from keras_clip.search import Index, SearchError, exact


def components(vectors, above):
    """The groups by walking through the whole matrix of cosines."""
    linked = vectors @ vectors.T >= above
    left, found = set(range(len(vectors))), []
    while left:
        group, pending = set(), [left.pop()]
        while pending:
            row = pending.pop()
            group.add(row)
            near = set(np.nonzero(linked[row])[0].tolist()) & left
            left -= near
            pending += near
        found.append(sorted(group))
    return sorted((group for group in found if len(group) > 1), key=lambda g: (-len(g), g))


def clusters(count, dimension=8, spread=0.15):
    random = np.random.default_rng(0)
    centres = random.standard_normal((count // 4, dimension))
    rows = centres[random.integers(0, len(centres), count)]
    rows = rows + spread * random.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("above", [0.9, 0.99, 1.1])
@pytest.mark.parametrize("rows", [2048, 7])
def test_groups_are_the_connected_components_whatever_the_blocks(above, rows, monkeypatch):
    monkeypatch.setattr(exact, "_ROWS", rows)
    monkeypatch.setattr(exact, "_CELLS", rows * 13)
    vectors = clusters(150)
    found = [group.tolist() for group in exact.groups(vectors, above)]
    assert sorted(found, key=lambda g: (-len(g), g)) == components(vectors, above)
    assert bool(found) == (above < 1)
    assert [len(group) for group in found] == sorted(map(len, found), reverse=True)


def test_copies_of_one_picture_are_one_group(monkeypatch):
    monkeypatch.setattr(exact, "_ROWS", 50)
    (group,) = exact.groups(np.tile(clusters(4)[:1], (300, 1)), 0.999)
    assert group.tolist() == list(range(300))


def test_nothing_and_one_picture_have_no_groups():
    for count in (0, 1):
        assert exact.groups(np.ones((count, 4), "float32"), 0.5) == []


def test_an_index_names_copies_and_how_close_they_are(tmp_path):
    pytest.importorskip("lancedb")
    photos = made.folder(tmp_path / "photos", 12)
    for copy, number in (("a.png", 1), ("sub/z.png", 1), ("b.png", 2)):
        (photos / copy).write_bytes((photos / f"it's {number:03}.png").read_bytes())
    index = Index.create(tmp_path / "index", made.MODEL)
    pictures = open_pictures(photos)
    index.update(pictures, made.PROCESSOR, made.embed)
    groups = index.duplicates(0.9999)
    assert [[hit.path for hit in group] for group in groups] == [
        ["a.png", "it's 001.png", "sub/z.png"],
        ["b.png", "it's 002.png"],
    ]
    assert [hit.cosine for hit in groups[0]] == pytest.approx([1, 1, 1], abs=1e-6)
    loose = index.duplicates(0.5)
    vectors = dict(zip(pictures.keys, made.vectors_of(pictures.paths), strict=True))
    for group in loose:
        for hit in group:
            expected = vectors[hit.path] @ vectors[group[0].path]
            assert hit.cosine == pytest.approx(expected, abs=1e-6)
    assert len(index.duplicates(0.9999, where="path like 'b%' or path like '%2.png'")) == 1
    with pytest.raises(SearchError, match=r"not 1\.5"):
        index.duplicates(1.5)
    with pytest.raises(SearchError, match="colour"):
        index.duplicates(0.9, where="colour = 1")
