"""Batches of pairs: what is in them, which come when, and the same again after a stop."""

import csv
import pickle
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from pair_folder import (
    AUGMENTATION,
    COUNT,
    MODEL,
    TOKENIZER,
    assert_same,
    captions,
    png,
    shard,
    write_pairs,
)
from tiny_models import tiny_clip

from keras_clip.data import open_pictures
from keras_clip.preprocessing import Augmentation
from keras_clip.preprocessing.naflex_images import NaFlexImageConfig, NaFlexImageProcessor
from keras_clip.train import Pairs
from keras_clip.train.pair_order import Order

pytest.importorskip("grain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def pictures(folder):
    return open_pictures(folder)


def rows(pairs, k):
    """Which pictures are in a batch."""
    return pairs[k][1].tolist()


def test_batches_hold_pictures_and_their_captions_in_the_order_of_the_source(pictures):
    pairs = Pairs(pictures, MODEL, 5, shuffle=False, captions="first")
    assert len(pairs) == 4
    for k in (0, 3, 4, 7):
        batch, numbers = pairs[k], range(k % 4 * 5, k % 4 * 5 + 5)
        assert batch["images"].dtype == np.float32 and batch["token_ids"].dtype == np.int32
        expected = MODEL.image_processor([pictures.paths[number] for number in numbers])
        np.testing.assert_array_equal(batch["images"], expected)
        texts = [f"number {number}" for number in numbers]
        np.testing.assert_array_equal(batch["token_ids"], TOKENIZER(texts))
    assert sum(1 for _ in pairs) == 4
    with pytest.raises(IndexError, match="no -1"):
        pairs[-1]


def test_every_epoch_has_an_order_of_its_own_without_repeats(pictures):
    pairs = Pairs(pictures, MODEL, 5, groups="pictures", captions="first")
    epochs = [[row for k in range(4 * e, 4 * e + 4) for row in rows(pairs, k)] for e in range(6)]
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert {row for epoch in epochs for row in epoch} == set(range(COUNT))
    x, y = pairs[9]
    np.testing.assert_array_equal(x["images"], MODEL.image_processor(pictures.select(y).paths))
    np.testing.assert_array_equal(x["token_ids"], TOKENIZER([f"number {row}" for row in y]))
    other = Pairs(pictures, MODEL, 5, groups="pictures", seed=1)
    assert rows(other, 0) not in (epochs[0][:5], epochs[1][:5])


def test_ten_million_rows_take_no_memory_and_come_once():
    tracemalloc.start()
    order = Order(10_000_000, 4096, seed=0)
    found = [next(order.candidates(3, position)) for position in range(0, 10_000_000, 2003)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(found)) == len(found) and max(found) < 10_000_000 and peak < 2**21
    # As many in each tenth as chance has it: 499 of 4993, a standard deviation of 21.
    assert abs(np.histogram(found, 10, (0, 10_000_000))[0] - 499).max() < 85
    small = Order(103, 10, seed=5)
    assert sorted(small.row(2, position) for position in range(103)) == list(range(103))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_continues_bit_for_bit(pictures, threads):
    arguments = {"augmentation": AUGMENTATION, "seed": 7, "groups": "pictures"}
    pairs = Pairs(pictures, MODEL, 5, **arguments, threads=2)
    whole = [pairs[k] for k in range(11)]
    again = pickle.loads(pickle.dumps(Pairs(pictures, MODEL, 5, **arguments, threads=threads)))
    for start, stop in ((0, 11), (3, 4), (6, 11), (11, 11)):
        found = list(again.batches(start, stop))
        assert len(found) == stop - start
        for k, batch in enumerate(found, start):
            assert_same(batch, whole[k])
    endless = iter(again.batches(9))
    assert_same([next(endless) for _ in range(4)][1], whole[10])
    with pytest.raises(ValueError, match="start is from 0"):
        pairs.batches(-1)


def test_crops_differ_from_epoch_to_epoch_and_picture_to_picture(pictures):
    pairs = Pairs(pictures, MODEL, COUNT, Augmentation((0.2, 0.9)), shuffle=False)
    first, second = pairs[0]["images"], pairs[1]["images"]
    assert (first != second).any((1, 2, 3)).all()
    # The crop is a function of seed, epoch and row: neither batches nor hosts matter.
    half = Pairs(pictures, MODEL, 2, Augmentation((0.2, 0.9)), shuffle=False, hosts=(1, 2))
    np.testing.assert_array_equal(half[4]["images"][0], first[9])


def test_captions_are_drawn_evenly(pictures):
    pairs = Pairs(pictures[:3], MODEL, 3, shuffle=False)
    drawn = np.stack([pairs[k]["token_ids"] for k in range(300)])
    for row in range(3):
        kinds, counts = np.unique(drawn[:, row], axis=0, return_counts=True)
        expected = np.unique(TOKENIZER(captions(row)), axis=0)
        np.testing.assert_array_equal(kinds, expected)
        assert counts.min() > 300 / len(expected) - 45  # five standard deviations


def test_several_captions_a_picture(pictures):
    batch = Pairs(pictures, MODEL, COUNT, shuffle=False, captions=4)[0]["token_ids"]
    assert batch.shape == (COUNT, 4, TOKENIZER.context_length)
    for row in range(COUNT):
        known = TOKENIZER(captions(row))
        times = [(batch[row] == one).all(-1).sum() for one in known]
        assert sum(times) == 4 and max(times) - min(times) <= 1


@pytest.mark.parametrize("length", [4, TOKENIZER.context_length])
def test_captions_are_cut_to_a_length(pictures, length):
    pairs = Pairs(pictures, MODEL, 3, shuffle=False, captions="first", context_length=length)
    expected = TOKENIZER([f"number {row}" for row in range(3)], length)
    np.testing.assert_array_equal(pairs[0]["token_ids"], expected)
    several = Pairs(pictures, MODEL, 3, captions=2, context_length=length)
    assert several[0]["token_ids"].shape == (3, 2, length)


def test_lengths_that_the_text_tower_cannot_take_are_refused(pictures):
    for length in (17, 1, 0, 8.0, "8"):
        with pytest.raises(ValueError, match=f"from 2 to the model's 16, not {length!r}"):
            Pairs(pictures, MODEL, 3, context_length=length)
    for text in ({"causal": False}, {"pooling": "last"}):
        clip = tiny_clip(tokenizer=TOKENIZER, text=text)
        with pytest.raises(ValueError, match="reads what is behind a caption's end"):
            Pairs(pictures, clip, 3, context_length=8)
        assert Pairs(pictures, clip, 3, context_length=16)[0]["token_ids"].shape == (3, 16)


def test_each_host_has_its_own_rows_of_every_batch(pictures):
    arguments = {"augmentation": AUGMENTATION, "groups": "pictures"}
    whole = Pairs(pictures, MODEL, 6, **arguments)
    parts = [Pairs(pictures, MODEL, 6, **arguments, hosts=(host, 3)) for host in range(3)]
    for k in (0, 2, 5):
        shares = [part[k] for part in parts]
        assert [len(y) for _, y in shares] == [2, 2, 2] and len(parts[0]) == len(whole)
        x = {n: np.concatenate([one[n] for one, _ in shares]) for n in ("images", "token_ids")}
        assert_same((x, np.concatenate([y for _, y in shares])), whole[k])
    for hosts in ((3, 3), (-1, 3), (0, 4), (0, 0)):
        with pytest.raises(ValueError, match=r"hosts is \(index, count\)"):
            Pairs(pictures, MODEL, 6, hosts=hosts)


def test_folders_tables_and_shards_give_the_same(folder, pictures, tmp_path):
    expected = Pairs(pictures, MODEL, 6, AUGMENTATION)[2]
    table = tmp_path / "pairs.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["where", "what"])
        for number, path in enumerate(pictures.paths):
            writer.writerows([path, text] for text in captions(number))
    columns = {"image": "where", "caption": "what"}
    assert_same(Pairs(table, MODEL, 6, AUGMENTATION, columns=columns)[2], expected)
    members = [(file.name, file.read_bytes()) for file in sorted(folder.iterdir())]
    assert_same(Pairs(shard(tmp_path / "s.tar", members), MODEL, 6, AUGMENTATION)[2], expected)


def test_pairs_of_a_group(tmp_path):
    for number in range(6):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        place = tmp_path / "ab"[number % 2] / f"{number}.png"
        place.write_bytes(png())
        place.with_suffix(".txt").write_text("a photo")
    x, y = Pairs(tmp_path, MODEL, 6, shuffle=False, groups="labels")[0]
    assert set(x) == {"images", "token_ids"} and y.dtype == np.int32
    assert y.tolist() == [0, 0, 0, 1, 1, 1]
    pairs = Pairs(tmp_path, MODEL, 6, groups="pictures")
    assert sorted(pairs[0][1].tolist()) == list(range(6)) != pairs[0][1].tolist()


def test_pictures_of_any_shape(pictures):
    processor = NaFlexImageProcessor(NaFlexImageConfig((4, 4), 20))
    model = SimpleNamespace(image_processor=processor, tokenizer=TOKENIZER)
    batch = Pairs(pictures, model, 4, shuffle=False)[1]
    assert_same(batch["images"], processor(pictures.paths[4:8]))
    with pytest.raises(ValueError, match="NaFlex"):
        Pairs(pictures, model, 4, Augmentation())


def test_wrong_arguments_are_told(pictures, folder, tmp_path):
    for values, told in (
        ({"batch_size": 24}, "batch_size is from 1 to the number of pictures, 23, not 24"),
        ({"batch_size": 0}, "batch_size is from 1"),
        ({"seed": -1}, "seed is a whole number from 0"),
        ({"captions": 0}, 'captions is "random"'),
        ({"captions": "all"}, 'captions is "random"'),
        ({"groups": "texts"}, "groups is one of"),
        ({"groups": "labels"}, "no labels"),
        ({"max_broken": 1.5}, "max_broken is a share"),
        ({"workers": -1}, "workers is a number"),
    ):
        with pytest.raises(ValueError, match=told):
            Pairs(pictures, MODEL, **{"batch_size": 4, **values})
    with pytest.raises(ValueError, match="no captions: give a table"):
        Pairs([str(folder / "00.png"), str(folder / "01.png")], MODEL, 2)
    with pytest.raises(FileNotFoundError, match="none"):
        Pairs(tmp_path / "none", MODEL, 2)


def test_without_grain_it_is_said_what_to_install(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match=r'grain: pip install "keras-clip\[train\]"'):
        Pairs(pictures, MODEL, 4)
