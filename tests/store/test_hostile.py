"""Broken, truncated and foreign files are named, never believed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from pathlib import Path

import numpy as np
import pytest

import plait
from plait import SearchParams, errors
from plait.errors import PlaitError
from tests.conftest import clustered

SEGMENT = ["doclens", "pids", "codes", "residuals", "ivf_lengths", "ivf_docs"]
CODECS = {
    "scaled": (
        ["gains"],
        [
            "rotation",
            "centroids",
            "centroid_scales",
            "heads",
            "head_scales",
            "group_lengths",
            "sigma",
            "bits",
            "gain_borders",
            "gain_values",
        ],
    ),
    "residual": (["scales"], ["centroids", "cutoffs", "weights"]),
}
ARRAYS = [
    (kind, f"{folder}/000001/{name}.npy")
    for kind, (own, codec) in CODECS.items()
    for folder, names in (("segments", [*SEGMENT, *own]), ("codecs", codec))
    for name in names
]


@pytest.fixture
def copy(request: pytest.FixtureRequest, shared_index: Path, residual_index: Path, tmp_path: Path) -> Path:
    """An index that may be damaged; of the codec that the test's parameter ``kind`` names."""
    kind = getattr(request.node, "callspec", None) and request.node.callspec.params.get("kind")
    source = residual_index if kind == "residual" else shared_index
    return Path(shutil.copytree(source, tmp_path / "copy"))


def search(path: Path) -> list[str]:
    with plait.Index.open(path) as index:
        query = clustered(3000)[5]
        found = index.search(query, 5, params=SearchParams(scan=False))
        return [hit.id for hit in [*found, *index.search(query, 5, params=SearchParams(scan=True))]]


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
def test_a_missing_file_is_named(copy: Path, kind: str, name: str):
    (copy / name).unlink()
    with pytest.raises(errors.IndexCorrupt, match=f"{Path(name).name}: is missing"):
        search(copy)


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
@pytest.mark.parametrize("keep", [0, 5, 60, 127, 0.5, 0.999])
def test_a_truncated_file_is_named(copy: Path, kind: str, name: str, keep: float):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(errors.IndexCorrupt, match=Path(name).name):
        search(copy)


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
def test_another_type_or_shape_is_named(copy: Path, kind: str, name: str):
    array = np.load(copy / name)
    for wrong in (array.astype("<f8"), array[..., None], array[:-1]):
        np.save(copy / name, wrong)
        with pytest.raises(errors.IndexCorrupt):
            search(copy)


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
def test_pickles_are_not_run(copy: Path, kind: str, name: str):
    np.save(copy / name, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(errors.IndexCorrupt, match=Path(name).name):
        search(copy)


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
@pytest.mark.parametrize("fill", [0xFF, 0x00, 0x7F])
def test_absurd_values_are_errors_or_harmless(copy: Path, kind: str, name: str, fill: int):
    """All values overwritten: codes, documents and lengths that point anywhere."""
    data = bytearray((copy / name).read_bytes())
    data[128:] = bytes([fill]) * (len(data) - 128)
    (copy / name).write_bytes(data)
    try:
        found = search(copy)
    except errors.PlaitError:
        return
    assert len(found) == 10


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
def test_flipped_bytes_are_errors_or_harmless(copy: Path, kind: str, name: str):
    original = (copy / name).read_bytes()
    rng = np.random.default_rng(len(name))
    for place in [*range(0, 128, 9), *rng.integers(0, len(original), 12).tolist()]:
        data = bytearray(original)
        data[place] ^= int(rng.integers(1, 256))
        (copy / name).write_bytes(data)
        try:
            search(copy)
        except PlaitError as error:
            assert Path(name).name in str(error) or "segments" in str(error) or "catalog" in str(error)


@pytest.mark.parametrize("shape", ["(-1, 4)", "(99999999999999, 99999999999)", "(3, )", "__import__('os')"])
def test_absurd_headers(copy: Path, shape: str):
    path = copy / "segments/000001/residuals.npy"
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(errors.IndexCorrupt, match="residuals"):
        search(copy)


def test_not_an_index(tmp_path: Path):
    with pytest.raises(errors.IndexNotFound, match="does not exist"):
        plait.Index.open(tmp_path / "nowhere")
    with pytest.raises(errors.IndexNotFound, match="is not a plait index"):
        plait.Index.open(tmp_path)
    sqlite3.connect(tmp_path / "catalog.sqlite").execute("CREATE TABLE t (a)").connection.close()
    with pytest.raises(errors.IndexNotFound, match="another program's database"):
        plait.Index.open(tmp_path)
    (tmp_path / "catalog.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(errors.IndexCorrupt, match=r"catalog\.sqlite"):
        plait.Index.open(tmp_path)


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path / "catalog.sqlite", isolation_level=None)
    connection.execute(statement)
    connection.close()


def test_a_newer_format_is_refused(copy: Path):
    change(copy, "PRAGMA user_version = 99")
    with pytest.raises(errors.IndexTooNew, match="format version 99; this plait reads up to 3"):
        plait.Index.open(copy)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE segment SET ndocs = 2999",
        "UPDATE segment SET ndocs = -1",
        "UPDATE segment SET ndocs = 99999999999999",
        "UPDATE segment SET ndocs = 'many'",
        "UPDATE segment SET ntokens = ntokens + 1",
        "UPDATE segment SET codec = 7",
        "UPDATE segment SET checksums = '['",
        "UPDATE codec SET ncentroids = 1",
        "UPDATE codec SET kind = 'magic'",
        "UPDATE codec SET checksums = '{}'",
        "UPDATE setting SET value = '31' WHERE key = 'dim'",
        "UPDATE setting SET value = 'null' WHERE key = 'dim'",
        "UPDATE setting SET value = '{' WHERE key = 'dim'",
        "DELETE FROM setting",
        "DELETE FROM document WHERE pid = 5",
        "INSERT INTO tombstone VALUES (6)",
        "DROP TABLE document",
        "DROP TABLE segment",
    ],
)
def test_a_catalog_that_does_not_fit_is_refused(copy: Path, statement: str):
    change(copy, statement)
    with pytest.raises(errors.IndexCorrupt):
        plait.Index.open(copy)


@pytest.mark.parametrize("kind", ["residual"])
@pytest.mark.parametrize("nbits", [3, 8])
def test_a_number_of_bits_that_does_not_fit_is_refused(copy: Path, kind: str, nbits: int):
    change(copy, f"UPDATE codec SET nbits = {nbits}")
    with pytest.raises(errors.IndexCorrupt):
        plait.Index.open(copy)


@pytest.mark.parametrize("value", ["null", '"huge"', "3"])
def test_an_unknown_level_is_refused(copy: Path, value: str):
    change(copy, f"UPDATE setting SET value = '{value}' WHERE key = 'level'")
    with pytest.raises(errors.IndexCorrupt, match="nbits"):
        plait.Index.open(copy)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bits", [9, 0, 0], "bits.npy holds"),
        ("bits", [64, 0, 0], "bits.npy holds"),
        ("group_lengths", None, "group_lengths.npy does not divide"),
    ],
)
def test_a_codec_whose_arrays_do_not_fit_together_is_refused(
    copy: Path, name: str, value: list[int] | None, message: str
):
    """With checksums that are right, as somebody who means harm would write them."""
    path = copy / f"codecs/000001/{name}.npy"
    array = np.load(path)
    array[:] = value if value is not None else array + 1
    np.save(path, array)
    connection = sqlite3.connect(copy / "catalog.sqlite", isolation_level=None)
    checksums = json.loads(connection.execute("SELECT checksums FROM codec").fetchone()[0])
    checksums[name] = zlib.crc32(array.tobytes())
    connection.execute("UPDATE codec SET checksums = ?", (json.dumps(checksums),))
    connection.close()
    with pytest.raises(errors.IndexCorrupt, match=message):
        plait.Index.open(copy)
