"""Searching: the nearest pictures are those that NumPy finds, with and without the index."""

import numpy as np
import pytest
import search_pictures as made

from keras_clip.search import Index, SearchError, combine, database, exact

pytest.importorskip("lancedb")


def filled(directory, vectors, sizes=None):
    """An index of these vectors, without pictures."""
    from datetime import UTC, datetime

    index = Index.create(directory, made.Description("tiny", vectors.shape[1], {}))
    file = {"modified": datetime.now(UTC), "added": datetime.now(UTC), "width": 4, "height": 3}
    sizes = range(len(vectors)) if sizes is None else sizes
    rows = [
        {**file, "path": f"{number:06}.png", "size": size, "vector": vector}
        for number, (size, vector) in enumerate(zip(sizes, vectors, strict=True))
    ]
    index.database.replace(rows, [])
    index.database.tidy()
    return index


def unit(random, count, dimension):
    rows = random.standard_normal((count, dimension), dtype="float32")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """(index, vectors, queries)."""
    random = np.random.default_rng(0)
    vectors = unit(random, 500, 16)
    index = filled(tmp_path_factory.mktemp("index") / "some", vectors)
    return index, vectors, unit(random, 7, 16)


def test_it_finds_what_numpy_finds_in_the_same_order(some):
    index, vectors, queries = some
    cosines = queries @ vectors.T
    for row, hits in enumerate(index.search(queries * 3, 12)):
        expected = np.argsort(-cosines[row])[:12]
        assert [int(hit.path[:6]) for hit in hits] == expected.tolist()
        np.testing.assert_allclose([hit.cosine for hit in hits], cosines[row][expected], atol=1e-6)


def test_a_filter_leaves_the_best_of_the_rest(some):
    index, vectors, queries = some
    where = "size >= 100 and path like '0001%' and modified > timestamp '2020-01-01'"
    (hits,) = index.search(queries[:1], 5, where)
    expected = 100 + np.argsort(-(vectors[100:200] @ queries[0]))[:5]
    assert [hit.size for hit in hits] == expected.tolist()
    assert index.search(queries[:2], 5, "size < 0") == [[], []]


def test_more_than_there_are_gives_all(some):
    index, _, queries = some
    assert len(index.search(queries[:1], 10_000)[0]) == 500


def test_equal_pictures_come_in_their_order_and_blocks_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    vectors, queries = unit(random, 50, 4)[np.arange(200) % 50], unit(random, 30, 4)
    rows, cosines = exact.nearest(vectors, queries, 20)
    expected = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :20]
    np.testing.assert_allclose(
        cosines, np.take_along_axis(queries @ vectors.T, expected, axis=1), atol=1e-6
    )
    monkeypatch.setattr(exact, "_CELLS", 300)
    again, _ = exact.nearest(vectors, queries, 20)
    assert (np.sort(rows, axis=1) == np.sort(again, axis=1)).mean() > 0.95
    best = rows[:, :4] % 50  # the four copies of the best picture
    assert (best == best[:, :1]).all() and (np.diff(rows[:, :4], axis=1) > 0).all()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """(index with the database's own index of vectors, vectors, queries)."""
    random = np.random.default_rng(1)
    vectors = unit(random, 3000, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "EXACT_BELOW", 2000)
        yield (
            filled(tmp_path_factory.mktemp("index") / "many", vectors),
            vectors,
            unit(random, 50, 64),
        )


def recall(index, vectors, queries, k=10, where=None, rows=None):
    """The share of the k nearest that is found."""
    rows = np.arange(len(vectors)) if rows is None else rows
    found = 0
    for query, hits in zip(queries, index.search(queries, k, where), strict=True):
        nearest = rows[np.argsort(-(vectors[rows] @ query))[:k]]
        found += len({int(hit.path[:6]) for hit in hits} & set(nearest.tolist()))
    return found / (k * len(queries))


def test_beyond_some_rows_the_database_s_index_finds_nearly_all(many):
    index, vectors, queries = many
    assert [one.index_type for one in index.database.pictures.list_indices()] == ["IvfRq"]
    assert recall(index, vectors, queries) >= 0.97
    (hits,) = index.search(queries[:1], 10)
    cosines = [vectors[int(hit.path[:6])] @ queries[0] for hit in hits]
    np.testing.assert_allclose([hit.cosine for hit in hits], cosines, atol=1e-5)
    assert recall(index, vectors, queries, 5, "size < 300", np.arange(300)) >= 0.97


def test_rows_beside_the_index_are_found_before_and_after_they_join_it(many, monkeypatch):
    index, vectors, queries = many
    late = [{"path": f"{3000 + k:06}.png", "size": k, "vector": q} for k, q in enumerate(queries)]
    index.database.replace(late, [])
    together = np.concatenate([vectors, queries])
    assert recall(index, together, queries, 1) == 1
    monkeypatch.setattr(database, "_WAITING", 10)
    index.database.tidy()
    name = index.database.pictures.list_indices()[0].name
    assert index.database.pictures.index_stats(name).num_unindexed_rows == 0
    assert recall(index, together, queries, 1) == 1 and recall(index, together, queries) >= 0.97


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("size >", "'size >'"),
        ("colour = 1", "No field named colour"),
        ("size = 'x'", "columns are path, size, modified, width, height, added"),
        ("path", "boolean"),
    ],
)
def test_a_wrong_filter_is_one_readable_error(some, where, told):
    with pytest.raises(SearchError) as caught:
        some[0].search(some[2], 3, where)
    assert told in str(caught.value) and len(str(caught.value)) < 400
    assert "cargo" not in str(caught.value)


@pytest.mark.parametrize(
    "vectors", [np.ones(16), np.ones((1, 15)), np.zeros((1, 16)), np.full((1, 16), np.nan)]
)
def test_a_query_that_is_none_is_refused(some, vectors):
    with pytest.raises(SearchError, match="query"):
        some[0].search(vectors, 3)


def test_k_is_at_least_one(some):
    with pytest.raises(SearchError, match="at least 1, not 0"):
        some[0].search(some[2], 0)


def test_combine_is_the_unit_vector_of_the_weighted_sum():
    found = combine([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [1, 2, -2])
    np.testing.assert_allclose(found, [1 / 3, 2 / 3, -2 / 3], atol=1e-7)
    np.testing.assert_allclose(combine([[0, 1]]), [0, 1])
    for vectors, weights, told in (
        ([[1, 0], [1, 0]], [1, -1], "cancel"),
        ([[1, 0]], [0], "cancel"),
        ([[1, 0]], [1, 1], "weights"),
        ([[np.nan, 0]], None, "cancel"),
    ):
        with pytest.raises(SearchError, match=told):
            combine(vectors, weights)
