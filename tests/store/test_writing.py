"""Adding, deleting, reopening; refusals that leave the index as it was."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import errors
from plait.types import TokenEmbeddings
from tests.conftest import clustered


def test_add_in_several_calls_then_reopen(tmp_path: Path):
    documents = clustered(30)
    path = tmp_path / "index"
    with plait.Index.create(path, dim=32) as index:
        assert index.add(vectors=documents[:10]) == [str(number) for number in range(10)]
        index.add(
            vectors=documents[10:30], ids=[f"x{n}" for n in range(20)], texts=[f"text {n}" for n in range(20)]
        )
        assert len(index) == 30
        assert index.stats().segments == 2
    with plait.Index.open(path) as index:
        assert len(index) == 30
        assert index.get("x3") == plait.Document("x3", "text 3", {})
        assert index.get("nothing") is None
        assert "x3" in index
        assert "nothing" not in index
        assert index.search(documents[13], 1)[0].text == "text 3"


def test_metadata_comes_back_as_it_was(tmp_path: Path):
    record = {"year": 1996, "tags": ["a", "ü"], "nested": {"deep": None}, "ratio": 0.25, "flag": True}
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(vectors=clustered(2), metadata=[record, None])
        assert index.get("0").metadata == record
        assert index.get("1").metadata == {}


@pytest.mark.parametrize("size", [20, 3000])
def test_deleted_documents_are_never_found_again(tmp_path: Path, size: int):
    documents = clustered(size)
    path = tmp_path / "index"
    with plait.Index.create(path, dim=32) as index:
        index.add(vectors=documents)
        assert index.delete(["3", "7", "unknown", "3"]) == 2
        assert index.delete("3") == 0
        assert index.stats().deleted == 2
    with plait.Index.open(path) as index:
        assert len(index) == size - 2
        found = [hit.id for hit in index.search(documents[3], size)]
        assert len(found) == size - 2
        assert not {"3", "7"} & set(found)
        assert index.search(documents[3], 5, ids=["3"]) == []


def test_a_deleted_id_can_be_used_again(small):
    small.delete("4")
    small.add(vectors=clustered(1, seed=5), ids=["4"])
    assert len(small) == 20
    assert small.search(clustered(1, seed=5)[0], 1)[0].id == "4"


def test_numbers_are_not_given_twice(small):
    small.delete([str(number) for number in range(10, 20)])
    assert small.add(vectors=clustered(2)) == ["20", "21"]


def refuses(index: plait.Index, error: type[Exception], match: str, **arguments: object) -> None:
    before = index.stats()
    with pytest.raises(error, match=match):
        index.add(**arguments)
    assert index.stats() == before
    index.refresh()
    assert index.stats().documents == before.documents


def test_refusals_leave_the_index_as_it_was(small):
    two = clustered(2)
    bad = TokenEmbeddings(two.vectors.copy(), two.doclens)
    bad.vectors[-1, 0] = np.nan
    refuses(small, errors.DuplicateId, "'3' is in the index already", vectors=two, ids=["new", "3"])
    refuses(small, errors.DuplicateId, "'a' was given twice", vectors=two, ids=["a", "a"])
    refuses(small, errors.NonFiniteVectors, r"vectors\[1\] holds a NaN", vectors=bad)
    refuses(small, errors.DimensionMismatch, "32 components each, but has 16", vectors=[np.ones((3, 16))])
    refuses(small, errors.EmptyCorpus, "no documents", vectors=[])
    refuses(small, errors.EmptyCorpus, "no documents", texts=[])
    refuses(small, errors.InvalidVectors, r"vectors\[0\] has no vectors", vectors=[np.ones((0, 32))])
    refuses(small, errors.InvalidVectors, "must be a matrix", vectors=[np.ones(32)])
    refuses(small, errors.InvalidParameter, "ids has 1 entries, but there are 2", vectors=two, ids=["a"])
    refuses(small, errors.InvalidParameter, "metadata has 3", vectors=two, metadata=[{}, {}, {}])
    refuses(
        small,
        errors.InvalidParameter,
        r"metadata\[1\] can't be kept",
        vectors=two,
        metadata=[{}, {"a": set()}],
    )
    refuses(
        small,
        errors.InvalidParameter,
        r"metadata\[0\] can't",
        vectors=two,
        metadata=[{"a": float("nan")}, {}],
    )
    refuses(small, errors.InvalidParameter, r"ids\[0\] must be a string", vectors=two, ids=[1, "b"])
    refuses(small, errors.InvalidParameter, r"ids\[1\] is empty", vectors=two, ids=["a", ""])
    refuses(
        small, errors.InvalidParameter, r"ids\[1\] is not valid Unicode", vectors=two, ids=["a", "\ud800"]
    )
    refuses(
        small, errors.InvalidParameter, r"metadata\[0\] can't", vectors=two, metadata=[{"a": "\ud800"}, {}]
    )
    refuses(small, errors.InvalidParameter, r"texts\[1\] must be a string", vectors=two, texts=["a", 7])
    refuses(
        small, errors.InvalidParameter, r"texts\[0\] is not valid Unicode", vectors=two, texts=["\ud800", "b"]
    )
    refuses(small, errors.InvalidParameter, "give texts, vectors", ids=["a"])
    refuses(small, errors.InvalidParameter, "list of strings", texts="one text")
    refuses(small, errors.NoEncoder, "made for vectors", texts=["one text"])


def test_an_interrupted_add_leaves_nothing(small):
    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = sorted(small.path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        small.add(vectors=clustered(3000), progress=interrupt)
    assert len(small) == 20
    assert sorted(small.path.rglob("*.npy")) == [path for path in before if path.suffix == ".npy"]
    small.add(vectors=clustered(3000), ids=[f"n{n}" for n in range(3000)])
    assert len(small) == 3020


def test_a_killed_writer_leaves_nothing_that_hurts(small):
    """The process dies after its files are written and before the commit."""
    script = """
import os, sys
sys.path.insert(0, sys.argv[2])
from tests.conftest import clustered
from plait.store import writing
from plait.types import Document
with writing(__import__("pathlib").Path(sys.argv[1])) as writer:
    writer.add([Document("lost")], [clustered(1)])
    os.kill(os.getpid(), 9)
"""
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", script, str(small.path), str(root)], check=False)
    assert killed.returncode == -9
    with plait.Index.open(small.path) as index:
        assert len(index) == 20
        assert "lost" not in index
        index.add(vectors=clustered(1), ids=["kept"])
        assert len(index) == 21
        assert len(list((small.path / "segments").iterdir())) == 2


def test_a_reader_keeps_its_snapshot(small):
    with plait.Index.open(small.path, auto_refresh=False) as reader:
        small.delete([str(number) for number in range(19)])
        small.add(vectors=clustered(2500), ids=[f"n{n}" for n in range(2500)])
        hits = reader.search(clustered(20)[0], 100)
        assert hits[0].id == "0"
        assert len(hits) == 20
        assert hits[0].metadata == {"number": 0}
        reader.refresh()
        assert len(reader) == 2501
        assert "0" not in {hit.id for hit in reader.search(clustered(20)[0], 2501)}


@pytest.mark.parametrize(("how", "nfiles"), [({"level": "balanced"}, 20), ({"nbits": 4}, 10)])
def test_same_documents_same_bytes(tmp_path: Path, how: dict, nfiles: int):
    documents = clustered(2500)
    for name, threads in (("a", 1), ("b", 3)):
        with plait.Index.create(tmp_path / name, dim=32, **how) as index:
            index.add(vectors=documents, threads=threads)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.npy"))
    assert len(files) == nfiles
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_closed_index_says_so(small):
    small.close()
    with pytest.raises(errors.IndexClosed, match="was closed"):
        len(small)
    with pytest.raises(errors.IndexClosed):
        small.search(clustered(1)[0])


def test_create_refuses_what_is_there(tmp_path: Path, small):
    with pytest.raises(errors.IndexAlreadyExists, match="exists already"):
        plait.Index.create(small.path, dim=8)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(errors.IndexAlreadyExists):
        plait.Index.create(tmp_path / "file", dim=8)
    assert (tmp_path / "file").read_text() == "mine"
    plait.Index.create(tmp_path / "new" / "below", dim=8).close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim must be"),
        ({"dim": 2.5}, "dim must be"),
        ({"dim": 8, "nbits": 3}, "nbits must be one of"),
        ({"dim": 8, "model": "folder"}, "not both"),
    ],
)
def test_create_refuses_bad_parameters(tmp_path: Path, arguments, message):
    with pytest.raises(errors.InvalidParameter, match=message):
        plait.Index.create(tmp_path / "index", **arguments)
    assert not (tmp_path / "index").exists()


def test_stats_add_up(shared_index):
    with plait.Index.open(shared_index) as index:
        stats = index.stats()
        files = sum(path.stat().st_size for path in shared_index.rglob("*") if path.is_file())
    assert stats.documents == 3000
    assert stats.tokens == clustered(3000).ntokens
    assert stats.bytes_on_disk == files
    assert stats.bytes_vectors + stats.bytes_catalog == stats.bytes_on_disk
    assert json.dumps(stats.bytes_per_token)


def test_readable_without_write_permission(shared_index, tmp_path: Path):
    """On read-only media SQLite can't make its side files; searching works all the same."""
    copy = Path(shutil.copytree(shared_index, tmp_path / "copy"))
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in copy.parents:
        if parent != Path("/") and parent.owner() == Path.home().owner():
            parent.chmod(parent.stat().st_mode | 0o055)
    script = """
import os, sys, numpy, plait
def search(path):
    with plait.Index.open(path) as index:
        return len(index), index.search(numpy.ones((2, 32)), 1)[0].rank
search(sys.argv[1])  # everything is imported before root lets go of its rights
if os.getuid() == 0:
    os.setuid(65534)
print(*search(sys.argv[2]))
with plait.Index.open(sys.argv[2]) as index:
    try:
        index.delete("1")
    except plait.PlaitError as error:
        print(error)
"""
    command = [sys.executable, "-c", script, str(shared_index), str(copy)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines()
    assert lines[:1] == ["3000 1"], result.stderr
    assert "can't be written to" in lines[1]


def test_a_write_that_the_system_refuses_is_named_and_undone(small):
    """As when the disk is full: here no file may grow beyond 64 KB."""
    script = """
import resource, sys, plait
sys.path.insert(0, sys.argv[2])
from tests.conftest import clustered
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
with plait.Index.open(sys.argv[1]) as index:
    try:
        index.add(vectors=clustered(500), ids=[f"n{n}" for n in range(500)])
    except plait.PlaitError as error:
        print(error)
"""
    command = [sys.executable, "-c", script, str(small.path), str(Path(__file__).parents[2])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ".npy can't be written: File too large; nothing was changed" in result.stdout, result.stderr
    small.refresh()
    assert len(small) == 20
    small.add(vectors=clustered(500), ids=[f"n{n}" for n in range(500)])
    assert len(small) == 520
