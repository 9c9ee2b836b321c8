"""Samples that cannot be used are named, counted and replaced, and too many stop the run."""

import numpy as np
import pytest
from pair_folder import (
    AUGMENTATION,
    BROKEN,
    COUNT,
    MODEL,
    TOKENIZER,
    assert_same,
    png,
    shard,
    write_broken_pairs,
)

from keras_clip.train import Pairs

pytest.importorskip("grain")


@pytest.fixture
def spoiled(tmp_path):
    return write_broken_pairs(tmp_path)


def rows(pairs, k):
    """Which pictures are in a batch."""
    return pairs[k][1].tolist()


OPTIONS = {"shuffle": False, "groups": "pictures", "max_broken": 0.5}


def test_broken_samples_are_named_and_replaced_by_those_of_the_next_batch(spoiled, caplog):
    pairs = Pairs(spoiled, MODEL, 5, captions="first", **OPTIONS)
    expected = [[0, 1, 2, 8, 4], [5, 6, 7, 8, 9], [10, 16, 12, 13, 14], [15, 16, 17, 18, 19]]
    assert [rows(pairs, k) for k in range(4)] == expected
    assert pairs.broken["03.png"] == "not a readable image: cannot identify image file."
    assert pairs.broken["11.png"].startswith("damaged image data: ")
    assert list(pairs.broken) == ["03.png", "11.png"] and pairs.num_broken == 2
    lines = [record.getMessage() for record in caplog.records if record.name == "keras_clip"]
    assert len(lines) == 2 and lines[0].startswith("03.png: another sample takes its place: not")
    x, y = pairs[2]
    good = [str(spoiled / f"{row}.png") for row in y]
    np.testing.assert_array_equal(x["images"], MODEL.image_processor(good))
    np.testing.assert_array_equal(x["token_ids"], TOKENIZER([f"number {row}" for row in y]))
    # The batches of another pass are no news; those of another epoch count.
    assert len(list(pairs.batches(0, 4))) == 4 and pairs.num_broken == 2
    assert rows(pairs, 6) == expected[2] and pairs.num_broken == 3
    assert len(caplog.records) == 2


def test_what_replaces_may_be_broken_too(spoiled):
    pairs = Pairs(spoiled, MODEL, 8, **OPTIONS)
    assert rows(pairs, 1) == [8, 9, 10, 19, 12, 13, 14, 15]
    assert rows(pairs, 0) == [0, 1, 2, 19, 4, 5, 6, 7] and pairs.num_broken == 1  # 1 came before 0


def test_a_source_of_one_batch_takes_neighbours(spoiled):
    pairs = Pairs(spoiled, MODEL, COUNT, **OPTIONS)
    assert rows(pairs, 0) == [{3: 4, 11: 12, 20: 21}.get(row, row) for row in range(COUNT)]
    assert sorted(pairs.broken) == list(BROKEN) and pairs.broken["20.png"] == "it has no caption"


def test_a_run_with_broken_samples_continues_bit_for_bit(spoiled):
    pairs = Pairs(spoiled, MODEL, 5, AUGMENTATION, max_broken=0.5)
    whole = list(pairs.batches(0, 12))
    assert pairs.num_broken > 5
    for found, batch in zip(Pairs(spoiled, MODEL, 5, AUGMENTATION, max_broken=0.5).batches(5, 12),
                            whole[5:], strict=True):  # fmt: skip
        assert_same(found, batch)


def test_no_host_takes_what_is_another_hosts(spoiled):
    hosts = [Pairs(spoiled, MODEL, 4, hosts=(host, 2), groups="pictures", max_broken=0.5)
             for host in range(2)]  # fmt: skip
    for epoch in range(4):
        first, second = (
            {row for k in range(5 * epoch, 5 * epoch + 5) for row in rows(host, k)}
            for host in hosts
        )
        assert not first & second and len(first) + len(second) >= 20 - len(BROKEN)
    assert {**hosts[0].broken, **hosts[1].broken}.keys() == set(BROKEN)


@pytest.mark.slow
def test_workers_give_the_same_and_tell_what_is_broken(spoiled):
    alone = Pairs(spoiled, MODEL, 5, AUGMENTATION, max_broken=0.5)
    expected = [alone[k] for k in range(3, 10)]
    pairs = Pairs(spoiled, MODEL, 5, AUGMENTATION, max_broken=0.5, workers=2)
    for found, batch in zip(pairs.batches(3, 10), expected, strict=True):
        assert_same(found, batch)
    assert pairs.broken == alone.broken and pairs.num_broken == alone.num_broken > 0


def test_too_many_broken_samples_stop_the_run(spoiled):
    pairs = Pairs(spoiled, MODEL, 5, max_broken=0.05)
    with pytest.raises(ValueError, match=r"^11 of \d+ samples cannot be used, more than the share "
                       r"of 0\.05 .* The first: \d\d\.png: .*; \d\d\.png: "):  # fmt: skip
        for _ in pairs.batches():
            pass
    with pytest.raises(ValueError, match=r"^1 of 6 samples"):
        Pairs(spoiled, MODEL, 5, shuffle=False, max_broken=0)[0]


def test_nothing_but_broken_samples_end_it_at_once(tmp_path):
    rows = "".join(f"{number}.png,a photo\n" for number in range(40))
    (tmp_path / "gone.csv").write_text(f"path,caption\n{rows}")
    pairs = Pairs(tmp_path / "gone.csv", MODEL, 2, shuffle=False, max_broken=1)
    with pytest.raises(ValueError, match=r"32 samples in a row cannot be used: 0\.png: cannot open "
                       "the file: No such file or directory"):  # fmt: skip
        pairs[0]


def test_captions_that_cannot_be_read_break_their_sample_alone(tmp_path):
    members = [("1.png", png()), ("1.json", b"{"), ("2.png", png()), ("2.txt", b"two")]
    pairs = Pairs(shard(tmp_path / "x.tar", members), MODEL, 2, shuffle=False)
    np.testing.assert_array_equal(pairs[0]["token_ids"], TOKENIZER(["two", "two"]))
    assert "its captions cannot be read: " in pairs.broken["x.tar/1"]
