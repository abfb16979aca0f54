"""The way back: what is written in colbert-ai's layout is read again as it was."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import plait
from plait.importers.torch_writer import write_torch_file
from plait.torchfile import read_torch_file
from tests.conftest import clustered
from tests.importers.conftest import FOREIGN, queries


def scores(index: plait.Index, query: np.ndarray) -> dict[str, float]:
    return {hit.id: hit.score for hit in index.search(query, len(index))}


@pytest.mark.parametrize("tool", ["colbert-ai-4", "pylate"])
def test_codes_come_back_as_they_were(tool: str, tmp_path: Path):
    with plait.import_index(FOREIGN / tool, tmp_path / "index") as index:
        before = scores(index, queries()[0])
    assert plait.export_colbert(tmp_path / "index", tmp_path / "out") == len(before)
    with plait.import_index(tmp_path / "out", tmp_path / "again") as index:
        assert scores(index, queries()[0]) == before
    if tool == "colbert-ai-4":  # in one chunk, which colbert-ai had in three
        codes = [read_torch_file(FOREIGN / tool / f"{number}.codes.pt") for number in range(3)]
        assert np.array_equal(read_torch_file(tmp_path / "out" / "0.codes.pt"), np.concatenate(codes))
        lists, lengths = read_torch_file(tmp_path / "out" / "ivf.pid.pt")
        expected, their_lengths = read_torch_file(FOREIGN / tool / "ivf.pid.pt")
        assert np.array_equal(lengths, their_lengths)
        assert np.array_equal(lists, expected[: their_lengths.sum()])


def test_ids_texts_and_metadata_come_along(tmp_path: Path):
    documents = clustered(50)
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(
            [f"text\t{place}\nü" for place in range(50)],
            vectors=documents,
            ids=[f"id {place}" for place in range(50)],
            metadata=[{"number": place} for place in range(50)],
        )
        index.delete(["id 7"])
        expected = scores(index, documents[3])
    plait.export_colbert(tmp_path / "index", tmp_path / "out", nbits=4)
    assert (tmp_path / "out" / "collection.tsv").read_text().splitlines()[0] == "0\ttext 0 ü"
    assert json.loads((tmp_path / "out" / "metadata.json").read_text())["config"]["nbits"] == 4
    with plait.import_index(tmp_path / "out", tmp_path / "again") as index:
        assert len(index) == 49
        assert index.get("id 7") is None
        assert index.get("id 8") == plait.Document("id 8", "text\t8\nü", {"number": 8})
        found = scores(index, documents[3])
        assert max(found, key=found.get) == "id 3"
        assert found == pytest.approx(expected, rel=0.15)  # the codes were made anew, from few tokens


def test_an_index_of_the_scaled_codec_is_made_anew(shared_index: Path, tmp_path: Path):
    with plait.Index.open(shared_index) as index:
        assert index.stats().level == "balanced"
        query = clustered(3000)[5]
        before = [hit.id for hit in index.search(query, 20)]
    plait.export_colbert(shared_index, tmp_path / "out")
    with plait.import_index(tmp_path / "out", tmp_path / "again") as index:
        assert index.stats().nbits == 4
        assert len(set(before) & {hit.id for hit in index.search(query, 20)}) >= 15


def test_what_colbert_ai_can_not_hold_is_refused(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=12) as index:
        with pytest.raises(plait.PlaitError, match="no documents"):
            plait.export_colbert(tmp_path / "index", tmp_path / "out")
        index.add(vectors=clustered(20, dim=12))
    with pytest.raises(plait.PlaitError, match="multiple of 32 components"):
        plait.export_colbert(tmp_path / "index", tmp_path / "out")
    (tmp_path / "full").mkdir()
    with pytest.raises(FileExistsError):
        plait.export_colbert(tmp_path / "index", tmp_path / "full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "index"]


@given(
    arrays.arrays(
        st.sampled_from([np.dtype(kind) for kind in ("u1", "<i4", "<i8", "<f2", "<f4")]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
        elements=st.integers(0, 100),
    )
)
@settings(max_examples=50, deadline=None)
def test_tensors_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray):
    path = tmp_path_factory.mktemp("torch") / "x.pt"
    write_torch_file(path, array)
    read = read_torch_file(path)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert np.array_equal(read, array)
    write_torch_file(path, (array, array))
    assert np.array_equal(read_torch_file(path)[1], array)


def test_the_same_index_gives_the_same_files(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plait.import_index(FOREIGN / "colbert-ai-2", tmp_path / "index").close()
    plait.export_colbert(tmp_path / "index", tmp_path / "a")
    plait.export_colbert(tmp_path / "index", tmp_path / "b")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "ivf.pid.pt" in files
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
