"""A source that is damaged, or mixed from two, is refused, the file is named, and nothing is left behind."""

from __future__ import annotations

import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait.errors import EmptyCorpus, ForeignIndexError, IndexAlreadyExists, SourceNotFound
from plait.importers import open_foreign
from tests.importers.conftest import FOREIGN

NEEDED = {
    "colbert-ai-4": [
        "metadata.json", "centroids.pt", "buckets.pt", "doclens.1.json", "1.metadata.json",
        "2.codes.pt", "0.residuals.pt",
    ],
    "ragatouille": ["pid_docid_map.json", "0.codes.pt"],
    "pylate": [
        "plaid_ids_to_documents_ids.pkl", "fast_plaid_index/metadata.json",
        "fast_plaid_index/0.residuals.npy",
    ],
    "fast-plaid-1.6": ["bucket_cutoffs.npy", "bucket_weights.npy", "doclens.0.json", "1.codes.npy"],
    "fast-plaid-1.7": ["merged_codes.npy", "merged_residuals.npy", "metadata.json"],
}  # fmt: skip
FILES = [(tool, name) for tool, names in NEEDED.items() for name in names]


def refuse(source: Path, tmp_path: Path, file: str, reason: str = ".") -> None:
    with pytest.raises(ForeignIndexError, match=reason) as caught:
        plait.import_index(source, tmp_path / "made")
    assert Path(caught.value.path).name == Path(file).name or file in str(caught.value)
    assert not (tmp_path / "made").exists()


def copy(tool: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOREIGN / tool, tmp_path / "source"))


@pytest.mark.parametrize(("tool", "name"), FILES)
def test_a_missing_file_is_named(tool: str, name: str, tmp_path: Path):
    source = copy(tool, tmp_path)
    (source / name).unlink()
    if name == "pid_docid_map.json":
        return  # then it is an index of colbert-ai
    if name == "merged_codes.npy":  # then it looks like the older layout
        name = "0.codes.npy"
    refuse(source, tmp_path, name, "missing")


@pytest.mark.parametrize(("tool", "name"), FILES)
def test_a_file_cut_short_is_named(tool: str, name: str, tmp_path: Path):
    source = copy(tool, tmp_path)
    content = (source / name).read_bytes()
    (source / name).write_bytes(content[: len(content) // 2])
    refuse(source, tmp_path, name)


@pytest.mark.parametrize(("tool", "name"), FILES)
def test_a_file_of_another_kind_is_named(tool: str, name: str, tmp_path: Path):
    source = copy(tool, tmp_path)
    (source / name).write_text('"something else"')
    refuse(source, tmp_path, name)


def change_codes(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[3] = 1 << 20
    return array


CHANGES: list[tuple[str, Callable[[np.ndarray], np.ndarray], str]] = [
    ("1.codes.npy", change_codes, "names a centroid"),
    ("1.codes.npy", lambda codes: -1 - codes, "names a centroid"),
    ("1.codes.npy", lambda codes: codes.astype(np.float32), "whole numbers"),
    ("1.codes.npy", lambda codes: codes[:-1], "tokens"),
    ("1.residuals.npy", lambda rows: rows[:, :-1], "shape"),
    ("1.residuals.npy", lambda rows: rows.astype(np.int8), "uint8"),
    ("centroids.npy", lambda rows: rows[:, :-8], "shape|metadata"),
    ("centroids.npy", lambda rows: rows[:-1], "metadata.json says"),
    ("centroids.npy", lambda rows: rows * np.nan, "not finite"),
    ("centroids.npy", lambda rows: rows.astype(np.int32), "floats"),
    ("bucket_cutoffs.npy", lambda values: values[::-1], "ascending"),
    ("bucket_weights.npy", lambda values: values[:4], "shape"),
]


@pytest.mark.parametrize(("name", "change", "reason"), CHANGES)
def test_an_array_that_does_not_fit_is_named(
    name: str, change: Callable[[np.ndarray], np.ndarray], reason: str, tmp_path: Path
):
    source = copy("fast-plaid-1.6", tmp_path)
    array = np.load(source / name)
    np.save(source / name, change(array))
    if name == "centroids.npy" and "shape" in reason:
        name = "0.residuals.npy"  # what is left of the index is for wider vectors
    refuse(source, tmp_path, name, reason)


def test_pickled_arrays_are_not_loaded(tmp_path: Path):
    source = copy("fast-plaid-1.6", tmp_path)
    np.save(source / "centroids.npy", np.array([print], dtype=object), allow_pickle=True)
    refuse(source, tmp_path, "centroids.npy")


def test_a_pickle_that_names_something_is_not_run(tmp_path: Path):
    source = copy("pylate", tmp_path)
    mark = tmp_path / "mark"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (mark,))

    (source / "plaid_ids_to_documents_ids.pkl").write_bytes(pickle.dumps({0: Trap()}))
    refuse(source, tmp_path, "plaid_ids_to_documents_ids.pkl", "nothing that a pickle names is loaded")
    assert not mark.exists()


@pytest.mark.parametrize("ids", [[], {0: None}, {0: 1.5}, {-1: "a"}, {60: "a"}, {"0": "a"}, {0: ""}])
def test_ids_that_are_no_ids_are_refused(ids: object, tmp_path: Path):
    source = copy("pylate", tmp_path)
    (source / "plaid_ids_to_documents_ids.pkl").write_bytes(pickle.dumps(ids))
    refuse(source, tmp_path, "plaid_ids_to_documents_ids.pkl")


def test_pylates_older_tables_of_ids_are_read(tmp_path: Path):
    source = copy("pylate", tmp_path)
    path = source / "plaid_ids_to_documents_ids.pkl"
    ids = pickle.loads(path.read_bytes())
    path.unlink()
    with sqlite3.connect(path.with_suffix(".sqlite")) as database:
        database.execute("CREATE TABLE unnamed (key TEXT PRIMARY KEY, value BLOB)")
        rows = [(str(place), pickle.dumps(name)) for place, name in ids.items()]
        database.executemany("INSERT INTO unnamed VALUES (?, ?)", rows)
    database.close()
    with plait.import_index(source, tmp_path / "made") as index:
        assert "doc/59" in index
        assert len(index) == 59


def test_a_document_added_twice_is_taken_once(tmp_path: Path):
    source = copy("pylate", tmp_path)
    path = source / "plaid_ids_to_documents_ids.pkl"
    ids = pickle.loads(path.read_bytes())
    ids[4] = ids[40]
    path.write_bytes(pickle.dumps(ids))
    with pytest.warns(UserWarning, match="again later under the same id"):
        index = plait.import_index(source, tmp_path / "made")
    with index:
        assert len(index) == 58
        assert ids[40] in index


@pytest.mark.parametrize("name", ["1.metadata.json", "doclens.1.json"])
def test_chunks_of_two_indexes_do_not_mix(name: str, tmp_path: Path):
    source = copy("colbert-ai-4", tmp_path)
    shutil.copy(FOREIGN / "ragatouille" / name, source / name)
    refuse(source, tmp_path, "1.metadata.json")


def test_codes_of_another_index_do_not_mix(tmp_path: Path):
    source = copy("colbert-ai-4", tmp_path)
    shutil.copy(FOREIGN / "ragatouille" / "0.codes.pt", source / "0.codes.pt")
    refuse(source, tmp_path, "0.codes.pt")


def test_residuals_of_another_nbits_do_not_mix(tmp_path: Path):
    source = copy("colbert-ai-4", tmp_path)
    shutil.copy(FOREIGN / "colbert-ai-2" / "buckets.pt", source / "buckets.pt")
    refuse(source, tmp_path, "buckets.pt")


@pytest.fixture(scope="module")
def one_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(FOREIGN / "colbert-ai-4", tmp_path_factory.mktemp("one") / "source"))


@given(place=st.integers(0, 1 << 30), value=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_any_byte_of_a_tensor_file_may_be_wrong(one_source: Path, place: int, value: int):
    """It is refused, or the codes are still codes; nothing worse."""
    path = one_source / "1.codes.pt"
    content = bytearray((FOREIGN / "colbert-ai-4" / "1.codes.pt").read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    try:
        chunks = list(open_foreign(one_source).chunks())
    except ForeignIndexError as error:
        assert Path(error.path) == path
    else:
        assert all(chunk.codes.max() < 256 for chunk in chunks)


def test_metadata_of_documents_that_are_not_there(tmp_path: Path):
    source = copy("fast-plaid-1.7", tmp_path)
    with sqlite3.connect(source / "metadata.db") as database:
        database.execute("UPDATE METADATA SET _subset_ = 1000 WHERE _subset_ = 3")
    database.close()
    refuse(source, tmp_path, "metadata.db", "1000")


def test_a_broken_database_is_named(tmp_path: Path):
    source = copy("fast-plaid-1.7", tmp_path)
    (source / "metadata.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    refuse(source, tmp_path, "metadata.db")


def test_another_collection_is_named(tmp_path: Path):
    (tmp_path / "collection.tsv").write_text("0\tone text\n")
    with pytest.raises(ForeignIndexError, match=r"collection.tsv: holds 1 texts, but the index has 60"):
        plait.import_index(FOREIGN / "colbert-ai-4", tmp_path / "made", texts=tmp_path / "collection.tsv")
    (tmp_path / "collection.tsv").write_text("7\tone text\n")
    with pytest.raises(ForeignIndexError, match="line 1 must begin with 0 and a tab"):
        plait.import_index(FOREIGN / "colbert-ai-4", tmp_path / "made", texts=tmp_path / "collection.tsv")


def test_a_field_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ForeignIndexError, match="'nothing'"):
        plait.import_index(FOREIGN / "fast-plaid-1.7", tmp_path / "made", text_field="nothing")


def test_what_is_no_index_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(SourceNotFound):
        plait.import_index(tmp_path / "nowhere", tmp_path / "made")
    with pytest.raises(ForeignIndexError, match=r"centroids\.pt"):
        plait.import_index(tmp_path, tmp_path / "made")
    (tmp_path / "index.voyager").touch()
    with pytest.raises(ForeignIndexError, match="Voyager"):
        plait.import_index(tmp_path, tmp_path / "made")


def test_an_index_without_documents_is_refused(tmp_path: Path):
    source = copy("pylate", tmp_path)
    (source / "plaid_ids_to_documents_ids.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(EmptyCorpus):
        plait.import_index(source, tmp_path / "made")


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").touch()
    with pytest.raises(IndexAlreadyExists):
        plait.import_index(FOREIGN / "pylate", tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["file"]


def test_metadata_json_of_strange_numbers(tmp_path: Path):
    for key, value in [
        ("num_chunks", 10**12),
        ("num_chunks", -1),
        ("nbits", 3),
        ("nbits", "4"),
        ("num_documents", 5),
    ]:
        source = copy("fast-plaid-1.6", tmp_path)
        facts = json.loads((source / "metadata.json").read_text())
        (source / "metadata.json").write_text(json.dumps(facts | {key: value}))
        with pytest.raises(ForeignIndexError):
            plait.import_index(source, tmp_path / "made")
        shutil.rmtree(source)
