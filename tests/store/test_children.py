"""Segments with many more tokens than centroids: their lists are those of finer centroids."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import SearchParams, errors
from tests.conftest import clustered

DOCUMENTS = clustered(3000)
LISTS = SearchParams(nprobe=24, ndocs=120, scan=False)


@pytest.fixture
def finer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.codec.subdivide.TOKENS_PER_CHILD", 8)


@pytest.fixture
def made(tmp_path: Path, finer: None) -> Path:
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(vectors=DOCUMENTS)
    counts = np.load(next((tmp_path / "index").rglob("child_counts.npy")))
    assert counts.min() >= 1
    assert counts.sum() > 8 * len(counts)
    return tmp_path / "index"


def test_hits_are_those_of_a_full_scan(made: Path):
    with plait.Index.open(made) as index:
        shared = [
            len(
                {hit.id for hit in index.search(DOCUMENTS[n], 10, params=LISTS)}
                & {hit.id for hit in index.search(DOCUMENTS[n], 10, params=SearchParams(scan=True))}
            )
            for n in range(0, 3000, 60)
        ]
    assert np.mean(shared) >= 9.5


def test_scores_do_not_depend_on_children(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plait.codec.subdivide.TOKENS_PER_CHILD", 10**6)
    with plait.Index.create(tmp_path / "plain", dim=32) as index:
        index.add(vectors=DOCUMENTS)
        expected = index.search(DOCUMENTS[5], 40, params=SearchParams(scan=True))
    with plait.Index.open(made) as index:
        assert index.search(DOCUMENTS[5], 40, params=SearchParams(scan=True)) == expected


def test_batches_and_threads_change_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plait.codec.subdivide.TOKENS_PER_BATCH", 20_000)
    monkeypatch.setattr("plait.store.segment.ROWS_PER_VISIT", 777)
    with plait.Index.create(tmp_path / "again", dim=32) as index:
        index.add(vectors=DOCUMENTS, threads=1)
    for file in made.rglob("*.npy"):
        assert file.read_bytes() == (tmp_path / "again" / file.relative_to(made)).read_bytes(), file.name


def test_deleted_and_forbidden_documents_are_not_found(made: Path):
    with plait.Index.open(made) as index:
        best = [hit.id for hit in index.search(DOCUMENTS[8], 30, params=LISTS)]
        index.delete(best[:5])
        left = [hit.id for hit in index.search(DOCUMENTS[8], 25, params=LISTS)]
        assert left[:10] == best[5:15]
        few = [hit.id for hit in index.search(DOCUMENTS[8], 50, ids=best[5:9], params=LISTS)]
        assert few == best[5:9]


def test_further_segments_have_their_own(made: Path):
    with plait.Index.open(made) as index:
        index.add(vectors=DOCUMENTS[:1500], ids=[f"copy {n}" for n in range(1500)])
        hits = index.search(DOCUMENTS[3], 2, params=LISTS)
        assert {hit.id for hit in hits} == {"3", "copy 3"}


@pytest.mark.parametrize("name", ["child_centroids", "child_scales", "child_counts"])
def test_children_that_do_not_fit_are_named(made: Path, name: str):
    file = next(made.rglob(f"{name}.npy"))
    np.save(file, np.load(file)[:-1])
    with pytest.raises(errors.IndexCorrupt, match=r"child_\w+\.npy"):
        plait.Index.open(made)


def test_a_working_file_that_cannot_be_removed_is_named(
    tmp_path: Path, finer: None, monkeypatch: pytest.MonkeyPatch
):
    unlink = Path.unlink

    def failing(path: Path, missing_ok: bool = False) -> None:
        if path.name == "children.tmp":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(path, missing_ok=missing_ok)

    with plait.Index.create(tmp_path / "index", dim=32) as index:
        monkeypatch.setattr(Path, "unlink", failing)
        with pytest.raises(errors.StoreError, match=r"children\.tmp.*nothing was changed"):
            index.add(vectors=DOCUMENTS)
        monkeypatch.undo()
        assert len(index) == 0
        index.add(vectors=DOCUMENTS[:50])
        assert len(index) == 50
