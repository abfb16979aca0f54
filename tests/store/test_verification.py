"""Whatever is broken is named; what is sound is not accused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import errors
from plait.store import format as layout
from plait.store import verification, verify
from tests.conftest import clustered

DOCUMENTS = clustered(1500)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two segments and two tombstones, for each codec; to be copied."""
    folder = tmp_path_factory.mktemp("indexes")
    made = {}
    kinds = {"scaled": {}, "residual": {"nbits": 2}, "children": {}, "float32": {}}
    for kind, how in kinds.items():
        count = 30 if kind == "float32" else 1500
        with pytest.MonkeyPatch.context() as patch, plait.Index.create(folder / kind, dim=32, **how) as index:
            if kind == "children":
                patch.setattr("plait.codec.subdivide.TOKENS_PER_CHILD", 8)
            index.add(vectors=DOCUMENTS[: count - 20], metadata=[{"n": n} for n in range(count - 20)])
            index.add(vectors=DOCUMENTS[count - 20 : count])
            index.delete(["3", str(count - 5)])
        made[kind] = folder / kind
    return made


@pytest.fixture
def copy(request: pytest.FixtureRequest, indexes: dict[str, Path], tmp_path: Path) -> Path:
    kind = (
        request.node.callspec.params.get("kind", "scaled") if hasattr(request.node, "callspec") else "scaled"
    )
    return Path(shutil.copytree(indexes[kind], tmp_path / "copy"))


KINDS = ["scaled", "residual", "children", "float32"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_index(copy: Path, kind: str):
    assert verify(copy) == []
    with plait.Index.open(copy) as index:
        assert index.verify() == []
        index.compact()
        assert index.verify() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_any_array_is_named(copy: Path, kind: str):
    files = [path for path in sorted(copy.rglob("*.npy")) if np.load(path).size]
    assert len(files) > 3
    for file in files:
        sound = file.read_bytes()
        file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        problems = verify(copy)
        assert any(str(file) == problem.path for problem in problems), file
        assert not any(problem.harmless for problem in problems)
        file.write_bytes(sound)
    assert verify(copy) == []


@pytest.mark.parametrize("kind", KINDS)
def test_missing_and_truncated_files_are_named(copy: Path, kind: str):
    for file in sorted(copy.rglob("*.npy")):
        sound = file.read_bytes()
        file.write_bytes(sound[:-1])
        assert str(file) in {problem.path for problem in verify(copy)}, file
        file.unlink()
        assert str(file) in {problem.path for problem in verify(copy)}, file
        file.write_bytes(sound)


def rewritten(index: Path, file: Path, array: np.ndarray) -> None:
    """An array that is wrong, with a checksum that is right."""
    np.save(file, array)
    connection = sqlite3.connect(index / "catalog.sqlite")
    table = "segment" if file.parent.parent.name == "segments" else "codec"
    number = int(file.parent.name)
    text = connection.execute(f"SELECT checksums FROM {table} WHERE {table} = ?", (number,)).fetchone()[0]
    checksums = {**json.loads(text), file.stem: layout.checksum(array)}
    connection.execute(f"UPDATE {table} SET checksums = ? WHERE {table} = ?", (json.dumps(checksums), number))
    connection.commit()
    connection.close()


def first(index: Path, name: str) -> tuple[Path, np.ndarray]:
    file = sorted((index / "segments").rglob(f"{name}.npy"))[0]
    return file, np.load(file)


@pytest.mark.parametrize("kind", ["scaled", "residual", "children"])
def test_codes_and_lists_that_do_not_fit_each_other(copy: Path, kind: str):
    file, codes = first(copy, "codes")
    rewritten(copy, file, np.where(codes == codes[0], codes.max() + 9, codes).astype(codes.dtype))
    assert any("names a centroid that does not exist" in str(problem) for problem in verify(copy))
    rewritten(copy, file, codes)
    file, docs = first(copy, "ivf_docs")
    rewritten(copy, file, docs[::-1].copy())
    assert [problem.path for problem in verify(copy)] == [str(file)]
    rewritten(copy, file, np.where(docs == 5, docs.dtype.type(6), docs))
    assert [problem.path for problem in verify(copy)] == [str(file)]
    rewritten(copy, file, docs)
    assert verify(copy) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM document WHERE pid = 8", "pid 8: is in a segment, but not listed"),
        ("DELETE FROM tombstone", "pid 4, 1496: are in a segment, but not listed"),
        ("INSERT INTO tombstone VALUES (8)", "pid 8: is both a document and a tombstone"),
        ("INSERT INTO tombstone VALUES (99999)", "pid 99999: is a tombstone, but in no segment"),
        ("INSERT INTO document (pid, id) VALUES (99999, 'x')", "pid 99999: is listed, but in no segment"),
        ("DELETE FROM segment WHERE segment = 2", "in no segment"),
        ("UPDATE segment SET codec = 77 WHERE segment = 2", "codec 77 is not listed"),
        ("UPDATE document SET metadata = '[1]' WHERE pid = 8", "metadata of the document '7' is not"),
        ("UPDATE document SET metadata = '{' WHERE pid = 8", "metadata of the document '7' is not"),
        ("UPDATE sqlite_sequence SET seq = 5 WHERE name = 'document'", "the next pid would be 6"),
        ("UPDATE setting SET value = '0' WHERE key = 'dim'", "the setting dim is 0"),
        (
            "UPDATE segment SET checksums = 'no' WHERE segment = 2",
            "list of checksums of segment 2 is not JSON",
        ),
    ],
)
def test_rows_that_do_not_fit_the_files(copy: Path, statement: str, said: str):
    connection = sqlite3.connect(copy / "catalog.sqlite")
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert any(said in problem.reason for problem in verify(copy))


def test_a_damaged_database(copy: Path):
    file = copy / "catalog.sqlite"
    data = bytearray(file.read_bytes())
    data[8192:12288] = bytes(4096)
    file.write_bytes(data)
    assert str(file) in {problem.path for problem in verify(copy)}
    file.write_bytes(b"not a database at all" * 500)
    assert [problem.path for problem in verify(copy)] == [str(file)]


def test_remains_are_harmless(copy: Path):
    (copy / "segments" / "000099").mkdir()
    (copy / "segments" / "000099" / "codes.npy").write_bytes(b"half")
    problems = verify(copy)
    assert [(problem.harmless, Path(problem.path).name) for problem in problems] == [(True, "000099")]
    with plait.Index.open(copy) as index:
        index.delete("7")
    assert verify(copy) == []


def test_files_that_a_writer_replaces_meanwhile_are_not_missed(copy: Path, monkeypatch: pytest.MonkeyPatch):
    opened = verification.open_segment

    def after_compaction(*args: object) -> object:
        monkeypatch.undo()
        with plait.Index.open(copy) as index:
            assert index.compact().merges == 1
        return opened(*args)

    monkeypatch.setattr(verification, "open_segment", after_compaction)
    assert verify(copy) == []


def test_what_is_no_index(tmp_path: Path):
    with pytest.raises(errors.IndexNotFound):
        verify(tmp_path)
