"""Documents that come in chunks: one commit, whatever the chunks; nothing at all if anything goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import errors
from plait.types import TokenEmbeddings
from tests.conftest import clustered

DOCUMENTS = clustered(1500)


def chunks(documents: TokenEmbeddings = DOCUMENTS, size: int = 400) -> Iterator[TokenEmbeddings]:
    for start in range(0, len(documents), size):
        yield documents[start : start + size]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


@pytest.mark.parametrize("how", [{"level": "compact"}, {"nbits": 2}])
def test_a_stream_makes_the_same_index_as_one_call(tmp_path: Path, how: dict):
    with plait.Index.create(tmp_path / "whole", dim=32, **how) as index:
        index.add(vectors=DOCUMENTS)
        expected = index.search(DOCUMENTS[7], 20)
    with plait.Index.create(tmp_path / "stream", dim=32, **how) as index:
        assert index.add_stream(chunks(), expected=1500) == 1500
        assert index.search(DOCUMENTS[7], 20) == expected
        assert index.stats().segments == 1
    with plait.Index.create(tmp_path / "other", dim=32, **how) as index:
        index.add_stream(chunks(size=77), expected=1500, threads=1)
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "stream") == files_of(tmp_path / "other")


def test_only_the_training_sample_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plait.store.writer.MAX_TRAINING_TOKENS", 40_000)
    taken = []

    def watched() -> Iterator[TokenEmbeddings]:
        for number, chunk in enumerate(chunks(clustered(4000), size=100)):
            taken.append(number)
            yield chunk

    def progress(stage: str, done: int, _: int) -> None:
        if stage == "compress":
            behind.append(taken[-1] * 100 - done)

    behind: list[int] = []
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add_stream(watched(), expected=4000, progress=progress)
        assert len(index) == 4000
    # From the end of the sample on, every chunk is compressed before the next is asked for.
    assert max(behind) < 1600
    assert behind[-1] <= 0


def test_keys_and_numbers(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add_stream(chunks(DOCUMENTS[:10], 4), ids=(f"key {n}" for n in range(10)))
        index.add_stream(chunks(DOCUMENTS[10:20], 3))
        assert [index.get(f"key {n}").id for n in range(10)] == [f"key {n}" for n in range(10)]
        assert index.get("10") is not None
        assert index.get("19") is not None
        assert len(index) == 20


class Stop(Exception):
    pass


def broken(error: type[BaseException]) -> Iterator[TokenEmbeddings]:
    yield from chunks()
    raise error


@pytest.mark.parametrize(
    ("stream", "ids", "error"),
    [
        (lambda: broken(Stop), None, Stop),
        (lambda: broken(KeyboardInterrupt), None, KeyboardInterrupt),
        (lambda: iter([]), None, errors.EmptyCorpus),
        (lambda: iter([DOCUMENTS[:3], clustered(3, dim=16)]), None, errors.DimensionMismatch),
        (
            lambda: iter([DOCUMENTS[:3], TokenEmbeddings(np.full((1, 32), np.nan, np.float32), [1])]),
            None,
            errors.NonFiniteVectors,
        ),
        (lambda: iter([DOCUMENTS[:3]]), ["a", "b"], errors.InvalidVectors),
        (lambda: iter([DOCUMENTS[:3]]), ["a", "b", "c", "d"], errors.InvalidVectors),
        (lambda: iter([DOCUMENTS[:3]]), ["a", "b", "a"], errors.DuplicateId),
        (lambda: iter([DOCUMENTS[:3]]), ["a", "old 1", "b"], errors.DuplicateId),
    ],
)
def test_a_stream_that_fails_leaves_the_index_as_it_was(tmp_path: Path, stream, ids, error):
    path = tmp_path / "index"
    with plait.Index.create(path, dim=32) as index:
        index.add(vectors=DOCUMENTS[:5], ids=[f"old {n}" for n in range(5)])
        before, hits = files_of(path), index.search(DOCUMENTS[2], 5)
        with pytest.raises(error):
            index.add_stream(stream(), ids=ids)
        assert files_of(path) == before
        assert index.search(DOCUMENTS[2], 5) == hits
        assert index.add_stream(chunks(DOCUMENTS[5:8], 2)) == 3
