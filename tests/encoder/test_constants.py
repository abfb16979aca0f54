"""Constants of an ONNX graph are read as they were written."""

from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.encoder.graph.onnx_constants import read_constants
from plait.encoder.graph.onnx_file import Graph
from plait.errors import CheckpointError

KINDS = st.sampled_from(["float32", "int8", "int64"])
SHAPES = arrays.array_shapes(max_dims=3, max_side=17)


@given(st.lists(st.tuples(KINDS, SHAPES), min_size=1, max_size=4), st.integers(0, 9))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, constants: list[tuple[str, tuple[int, ...]]], seed: int
):
    rng = np.random.default_rng(seed)
    values = [rng.integers(-128, 128, shape).astype(kind) for kind, shape in constants]
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    graph = Graph()
    names = [graph.constant(each, each.dtype.name) for each in values]
    graph.save(path)
    found = read_constants(path)
    assert list(found) == names
    for name, each in zip(names, values, strict=True):
        assert found[name].dtype == each.dtype
        np.testing.assert_array_equal(found[name], each)


@pytest.mark.parametrize("kept", [1, 100, 2000])
def test_a_cut_file_is_an_error_that_names_it(tmp_path: Path, kept: int):
    path = tmp_path / "model.onnx"
    graph = Graph()
    graph.constant(np.arange(1000, dtype=np.float32))
    graph.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        read_constants(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        read_constants(tmp_path / "model.onnx")
