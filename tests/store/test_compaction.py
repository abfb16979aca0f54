"""Compaction: the same documents, the same hits, fewer files; whatever interrupts it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait
from plait import SearchParams, errors
from plait.store import compaction, merge, open_snapshot, verify, writing
from tests.conftest import clustered

DOCUMENTS = clustered(2600)
BASE = 1400  # enough to train a codec
Grown = Callable[..., plait.Index]
FULL = SearchParams(scan=True)
KINDS = {"scaled": {"level": "balanced"}, "residual": {"nbits": 2}}


def arrays_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "segments").rglob("*.npy"))}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index of the first documents for each kind of codec; to be copied."""
    folder = tmp_path_factory.mktemp("bases")
    for name, how in KINDS.items():
        with plait.Index.create(folder / name, dim=32, **how) as index:
            add(index, 0, BASE)
    return {name: folder / name for name in KINDS}


@pytest.fixture
def grown(bases: dict[str, Path], tmp_path: Path) -> Callable[..., plait.Index]:
    """Makes an index of the base and of adds that end at some documents."""

    def make(*ends: int, kind: str = "scaled", name: str = "index") -> plait.Index:
        shutil.copytree(bases[kind], tmp_path / name)
        index = plait.Index.open(tmp_path / name, auto_compact=False)
        for begin, end in pairwise([BASE, *ends]):
            add(index, begin, end)
        return index

    return make


def add(index: plait.Index, begin: int, end: int) -> None:
    numbers = range(begin, end)
    index.add(
        vectors=DOCUMENTS[begin:end],
        ids=[f"doc {n}" for n in numbers],
        metadata=[{"n": n} for n in numbers],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_hits_stay_the_same_and_deleted_documents_go(grown: Grown, kind: str):
    with grown(1500, 1501, 1800, 2400, 2600, kind=kind) as index:
        index.delete([f"doc {n}" for n in range(0, 2600, 3)])
        assert index.stats().segments == 6
        before = [index.search(DOCUMENTS[n], 25, params=FULL) for n in range(0, 2600, 260)]
        size = index.stats().bytes_vectors
        report = index.compact()
        assert (report.segments_before, report.segments_after, report.deleted) == (6, 1, 867)
        assert index.stats().deleted == 0
        assert index.stats().segments == 1
        assert index.stats().bytes_vectors < 0.75 * size
        assert [index.search(DOCUMENTS[n], 25, params=FULL) for n in range(0, 2600, 260)] == before
        assert index.get("doc 1").metadata == {"n": 1}
        assert index.get("doc 0") is None
        assert index.compact().merges == 0
        assert len(list((index.path / "segments").iterdir())) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_merged_segment_does_not_depend_on_how_documents_came(grown: Grown, kind: str):
    """Byte for byte what one add of everything would have written with that codec."""
    with grown(1407, 1408, 1490, 1500, kind=kind) as many, grown(1500, kind=kind, name="one") as one:
        many.delete(["doc 1450", "doc 2"])
        one.delete(["doc 2", "doc 1450"])
        many.compact()
        one.compact()
        assert arrays_of(many.path) == arrays_of(one.path)


def test_a_merged_segment_is_that_of_a_fresh_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Children of large segments included."""
    monkeypatch.setattr("plait.codec.subdivide.TOKENS_PER_CHILD", 8)
    monkeypatch.setattr("plait.store.compaction.ROWS_PER_COPY", 999)
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(vectors=DOCUMENTS[:BASE])
        fresh = arrays_of(tmp_path / "index")
        index.add(vectors=DOCUMENTS[BASE : BASE + 50])
        index.delete([str(n) for n in range(BASE, BASE + 50)])
        index.compact()
    assert len(np.load(next((tmp_path / "index").rglob("child_counts.npy"))))
    assert arrays_of(tmp_path / "index") == fresh


def test_exact_segments_are_merged_too(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=32, auto_compact=False) as index:
        for begin in range(0, 60, 10):
            index.add(vectors=DOCUMENTS[begin : begin + 10])
        index.delete(["3", "12"])
        before = index.search(DOCUMENTS[4], 58)
        index.compact()
        assert index.stats().segments == 1
        assert index.search(DOCUMENTS[4], 58) == before


def test_segments_whose_pids_alternate(grown: Grown):
    """Not neighbours first: then the rest lies between the documents of the merged segment."""
    with grown(1500, 1600, 1700) as index:
        before = index.search(DOCUMENTS[1550], 30, params=FULL)
        numbers = [row.segment for row in open_snapshot(index.path).segment_rows]
        with writing(index.path) as writer:
            merge(writer, [[numbers[1], numbers[3]]])
        assert index.stats().segments == 3
        assert index.search(DOCUMENTS[1550], 30, params=FULL) == before
        index.compact()
        assert index.search(DOCUMENTS[1550], 30, params=FULL) == before


def test_everything_deleted(grown: Grown):
    with grown(1500) as index:
        index.delete([f"doc {n}" for n in range(1500)])
        report = index.compact()
        assert (report.segments_after, report.deleted, len(index)) == (0, 1500, 0)
        assert index.search(DOCUMENTS[0], 5) == []
        index.add(vectors=DOCUMENTS[:3], ids=["a", "b", "c"])
        assert index.search(DOCUMENTS[1], 1)[0].id == "b"


def test_readers_keep_what_they_have_open(grown: Grown):
    with grown(1500, 1700) as writer:
        writer.delete(["doc 7"])
        with plait.Index.open(writer.path, auto_refresh=False) as reader:
            before = reader.search(DOCUMENTS[9], 40)
            writer.compact()
            assert reader.search(DOCUMENTS[9], 40) == before
            assert reader.search(DOCUMENTS[1650], 40)[0].id == "doc 1650"  # of files that are gone by now
            reader.refresh()
            assert reader.stats().segments == 1


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["merge", "lists", "commit"])
def test_an_interruption_leaves_the_old_state(
    grown: Grown, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], where: str
):
    def stop(*args: object, **named: object) -> None:
        raise error

    with grown(1600) as index:
        index.delete(["doc 3"])
        before, files = index.search(DOCUMENTS[9], 40), arrays_of(index.path)
        folders = sorted((index.path / "segments").iterdir())
        with monkeypatch.context() as patched:
            if where == "lists":
                patched.setattr("plait.store.segment.SegmentWriter._lists", stop)
            elif where == "commit":
                patched.setattr("plait.store.catalog_writer.CatalogWriter.set_segment", stop)
            with pytest.raises(error):
                index.compact(progress=stop if where == "merge" else None)
        assert sorted((index.path / "segments").iterdir()) == folders
        assert arrays_of(index.path) == files
        assert index.search(DOCUMENTS[9], 40) == before
        assert index.compact().segments_after == 1


def test_merging_is_undone_with_the_transaction(grown: Grown):
    with grown(1500, 1600) as index:
        before = index.search(DOCUMENTS[9], 40)
        with pytest.raises(Stop), index.transaction():
            index.delete(["doc 3"])
            add(index, 1600, 1700)
            assert index.compact().segments_after == 1
            raise Stop
        assert index.stats().segments == 3
        assert index.search(DOCUMENTS[9], 40) == before
        with index.transaction():
            index.delete(["doc 3"])
            add(index, 1600, 1700)
            assert index.compact().deleted == 1
        assert (index.stats().segments, len(index)) == (1, 1699)


def test_the_catalog_gives_back_the_room_of_deleted_texts(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        texts = [f"{n} " * 400 for n in range(200)]
        index.add(texts, vectors=DOCUMENTS[:200])
        index.delete([str(n) for n in range(0, 200, 2)])
        with plait.Index.open(tmp_path / "index", auto_refresh=False) as reader:
            index.compact()
            assert reader.get("7").text == texts[7]
    with plait.Index.create(tmp_path / "fresh", dim=32) as fresh:
        fresh.add(texts[1::2], vectors=DOCUMENTS[:100])
    # SQLite tidies up when the last one closes.
    sizes = [
        sum(file.stat().st_size for file in (tmp_path / n).glob("*.sqlite*")) for n in ("index", "fresh")
    ]
    assert sizes[0] <= 1.05 * sizes[1]
    assert verify(tmp_path / "index") == []


@pytest.mark.parametrize("name", ["codes", "residuals", "gains", "ivf_docs", "doclens"])
def test_a_damaged_segment_is_not_made_good_by_merging(grown: Grown, name: str):
    with grown(1600) as index:
        file = sorted((index.path / "segments").rglob(f"{name}.npy"))[0]
        data = bytearray(file.read_bytes())
        data[-1 if name != "doclens" else 200] ^= 1
        file.write_bytes(data)
        with pytest.raises(errors.IndexCorrupt, match=name):
            index.compact()
        assert file.exists()
        assert len(list((index.path / "segments").iterdir())) == 2


# ---- by itself -------------------------------------------------------------------------------------------


def test_small_adds_merge_by_themselves(grown: Grown):
    with grown() as made:
        path = made.path
    with plait.Index.open(path) as index:
        most = 0
        for begin in range(BASE, BASE + 80, 4):
            add(index, begin, begin + 4)
            most = max(most, index.stats().segments)
        assert most <= 2 * compaction.FACTOR
        assert len(index) == BASE + 80
        assert [index.search(DOCUMENTS[n], 1)[0].id for n in range(0, 1480, 100)] == [
            f"doc {n}" for n in range(0, 1480, 100)
        ]


def test_it_can_be_switched_off(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=32, auto_compact=False) as index:
        for begin in range(20):
            index.add(vectors=DOCUMENTS[begin : begin + 1])
        assert index.stats().segments == 20
    with plait.Index.open(tmp_path / "index", auto_compact=False) as index:
        index.add(vectors=DOCUMENTS[20:21])
        assert index.stats().segments == 21
    with plait.Index.open(tmp_path / "index") as index:
        index.add(vectors=DOCUMENTS[21:22])
        assert index.stats().segments == 1


def test_mostly_deleted_segments_are_written_again(grown: Grown):
    with grown() as made:
        path = made.path
    with plait.Index.open(path) as index:
        index.delete([f"doc {n}" for n in range(0, BASE, 3)])
        assert index.stats().deleted > 400
        index.delete([f"doc {n}" for n in range(1, BASE, 3)])
        assert index.stats().deleted == 0
        assert index.search(DOCUMENTS[2], 1)[0].id == "doc 2"


def test_a_write_is_not_lost_when_merging_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plait.store.compaction.FACTOR", 2)
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(vectors=DOCUMENTS[:1])
        file = next(index.path.rglob("vectors.npy"))
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        with pytest.warns(RuntimeWarning, match="is committed, but merging segments failed"):
            index.add(vectors=DOCUMENTS[1:2])
        assert "1" in index


@given(
    sizes=st.lists(st.integers(0, 10**8), max_size=60),
)
def test_what_is_due_leaves_no_full_tier(sizes: list[int]):
    sized = [(size, [number]) for number, size in enumerate(sizes)]
    groups = compaction._tiered(sized)
    merged = {number for group in groups for number in group}
    assert sum(map(len, groups)) == len(merged)
    left = [sum(sizes[number] for number in group) for group in groups]
    left += [size for number, size in enumerate(sizes) if number not in merged]
    tiers = [compaction._tier(size) for size in left]
    assert max(map(tiers.count, tiers), default=0) < compaction.FACTOR
