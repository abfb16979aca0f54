"""What can be saved is saved, what is lost is listed, and the damaged index stays as it is."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import errors
from plait.store import repair, verify
from plait.types import TokenEmbeddings
from tests.conftest import clustered

DOCUMENTS = clustered(1500)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three segments and two tombstones, for each codec; to be copied."""
    folder = tmp_path_factory.mktemp("indexes")
    for kind, how in {"scaled": {}, "residual": {"nbits": 2}, "float32": {}}.items():
        count = 60 if kind == "float32" else 1500
        with plait.Index.create(folder / kind, dim=32, auto_compact=False, **how) as index:
            borders = [0, count - 40, count - 20, count]
            for begin, end in pairwise(borders):
                index.add(
                    [f"text {n}" for n in range(begin, end)],
                    vectors=DOCUMENTS[begin:end],
                    ids=[str(n) for n in range(begin, end)],
                    metadata=[{"n": n} for n in range(begin, end)],
                )
            index.delete(["3", str(count - 5)])
    return {kind: folder / kind for kind in ("scaled", "residual", "float32")}


@pytest.fixture
def copy(request: pytest.FixtureRequest, indexes: dict[str, Path], tmp_path: Path) -> Path:
    callspec = getattr(request.node, "callspec", None)
    kind = callspec.params.get("kind", "scaled") if callspec else "scaled"
    return Path(shutil.copytree(indexes[kind], tmp_path / "copy"))


def flip(file: Path, place: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def encode(texts: list[str]) -> TokenEmbeddings:
    numbers = [int(text.removeprefix("text ")) for text in texts]
    return TokenEmbeddings.from_list([DOCUMENTS[number] for number in numbers])


@pytest.mark.parametrize("kind", ["scaled", "residual", "float32"])
def test_a_sound_index_stays_what_it_is(copy: Path, tmp_path: Path, kind: str):
    report = repair(copy, tmp_path / "new")
    count = 60 if kind == "float32" else 1500
    assert (report.saved, report.lost, report.damage, report.unnamed) == (count - 2, [], [], 0)
    assert verify(tmp_path / "new") == []
    with plait.Index.open(copy) as old, plait.Index.open(tmp_path / "new") as new:
        for place in range(0, 60, 7):
            query = DOCUMENTS[place]
            params = plait.SearchParams(scan=True)
            assert new.search(query, 40, params=params) == old.search(query, 40, params=params)
        assert new.stats().segments == 1
        assert new.add(vectors=DOCUMENTS[:1]) == old.add(vectors=DOCUMENTS[:1])


@pytest.mark.parametrize("kind", ["scaled", "residual", "float32"])
@pytest.mark.parametrize("again", [False, True])
def test_documents_of_a_damaged_segment(copy: Path, tmp_path: Path, kind: str, again: bool):
    rows = "vectors" if kind == "float32" else "residuals"
    file = copy / "segments" / max(path.name for path in (copy / "segments").iterdir()) / f"{rows}.npy"
    flip(file)
    before = {path: path.read_bytes() for path in copy.rglob("*.npy")}
    report = repair(copy, tmp_path / "new", encode=encode if again else None)
    count = 60 if kind == "float32" else 1500
    ids = [str(n) for n in range(count - 20, count) if n != count - 5]
    assert report.saved == count - 2 - len(ids)
    assert (report.encoded_again if again else report.lost) == ids
    assert (report.lost if again else report.encoded_again) == []
    assert report.damage == [f"{file}: does not match its checksum"]
    assert {path: path.read_bytes() for path in copy.rglob("*.npy")} == before
    assert verify(tmp_path / "new") == []
    with plait.Index.open(tmp_path / "new") as new:
        assert new.search(DOCUMENTS[7], 1)[0].id == "7"
        assert new.get("7").metadata == {"n": 7}
        assert len(new) == (count - 2 if again else count - 2 - len(ids))
        assert (new.search(DOCUMENTS[count - 1], 1)[0].id == str(count - 1)) == again


def test_lists_are_made_anew(copy: Path, tmp_path: Path):
    for name in ("ivf_docs", "ivf_lengths"):
        next(copy.rglob(f"{name}.npy")).unlink()
    report = repair(copy, tmp_path / "new")
    assert (report.saved, report.lost) == (1498, [])
    assert verify(tmp_path / "new") == []


def test_a_damaged_codec_loses_its_segments(copy: Path, tmp_path: Path):
    flip(next(copy.rglob("centroids.npy")))
    report = repair(copy, tmp_path / "new")
    assert report.saved == 0
    assert len(report.lost) == 1498
    assert "centroids.npy" in report.damage[0]
    report = repair(copy, tmp_path / "again", encode=encode)
    assert (report.saved, len(report.encoded_again), report.lost) == (0, 1498, [])
    with plait.Index.open(tmp_path / "again") as new:
        assert new.search(DOCUMENTS[7], 1)[0].id == "7"


def test_a_catalog_with_broken_pages(copy: Path, tmp_path: Path):
    connection = sqlite3.connect(copy / "catalog.sqlite")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'document'").fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    file = copy / "catalog.sqlite"
    data = bytearray(file.read_bytes())
    broken = [
        at for at in range(size, len(data), size) if data[at] == 13 and b"text 700" in data[at : at + size]
    ]
    assert broken
    assert root * size not in broken
    data[broken[0] : broken[0] + size] = b"\xff" * size
    file.write_bytes(data)
    report = repair(copy, tmp_path / "new")
    assert report.damage
    assert 0 < report.unnamed < 300
    assert report.saved + report.unnamed == 1498
    assert verify(tmp_path / "new") == []
    with plait.Index.open(tmp_path / "new") as new:
        assert new.search(DOCUMENTS[5], 1)[0].id == "5"
        assert new.search(DOCUMENTS[1490], 1)[0].id == "1490"
        assert "700" not in new


def overwrite_table(folder: Path, name: str) -> None:
    """The first page of a table of the catalog."""
    file = folder / "catalog.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        page = connection.execute(query, [name]).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(file.read_bytes())
    data[(page - 1) * size : page * size] = b"\xff" * size
    file.write_bytes(data)


@pytest.mark.parametrize("table", ["segment", "codec"])
def test_without_the_list_of_segments_texts_are_encoded_again(copy: Path, tmp_path: Path, table: str):
    overwrite_table(copy, table)
    found = [problem.reason for problem in verify(copy)]
    assert found
    assert not [reason for reason in found if "\n" in reason or "never used" in reason]
    report = repair(copy, tmp_path / "new", encode=encode)
    assert (report.saved, len(report.encoded_again), report.lost) == (0, 1498, [])
    assert verify(tmp_path / "new") == []
    with plait.Index.open(tmp_path / "new") as new:
        assert new.search(DOCUMENTS[7], 1)[0].id == "7"
        assert new.get("7").metadata == {"n": 7}


def test_when_nothing_can_be_saved_there_is_no_new_index(copy: Path, tmp_path: Path):
    overwrite_table(copy, "segment")
    overwrite_table(copy, "document")
    with pytest.raises(errors.IndexCorrupt, match=r"nothing can be saved: .*malformed"):
        repair(copy, tmp_path / "new", encode=encode)
    assert not (tmp_path / "new").exists()


def test_rows_that_are_damaged(copy: Path, tmp_path: Path):
    connection = sqlite3.connect(copy / "catalog.sqlite")
    connection.execute("UPDATE document SET metadata = '{' WHERE id = '5'")
    connection.execute("UPDATE document SET text = 7.5 WHERE id = '6'")
    connection.execute("DELETE FROM document WHERE id = '8'")
    connection.commit()
    connection.close()
    report = repair(copy, tmp_path / "new")
    assert (report.saved, report.unnamed) == (1497, 1)
    assert any("metadata of the document '5' is lost" in damage for damage in report.damage)
    with plait.Index.open(tmp_path / "new") as new:
        assert new.get("5").metadata == {}
        assert new.get("7").metadata == {"n": 7}


def test_what_can_not_be_begun(copy: Path, tmp_path: Path):
    with pytest.raises(errors.IndexAlreadyExists):
        repair(copy, tmp_path)
    with pytest.raises(errors.IndexNotFound):
        repair(tmp_path / "nothing", tmp_path / "new")
    connection = sqlite3.connect(copy / "catalog.sqlite")
    connection.execute("DELETE FROM setting WHERE key = 'dim'")
    connection.commit()
    connection.close()
    with pytest.raises(errors.IndexCorrupt, match="dim"):
        repair(copy, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_with_the_encoder_of_the_index(tmp_path: Path):
    with plait.Index.create(tmp_path / "index") as index:
        index.add(["Paris is the capital of France.", "Bread is baked."], ids=["paris", "bread"])
    flip(next((tmp_path / "index").rglob("vectors.npy")))
    report = plait.Index.repair(tmp_path / "index", tmp_path / "new")
    assert (report.encoded_again, report.lost) == (["paris", "bread"], [])
    with plait.Index.open(tmp_path / "new") as new:
        assert np.isclose(new.search("bread", 1)[0].score, new.search("bread", 1)[0].score)
        assert new.search("who bakes bread?", 1)[0].id == "bread"
