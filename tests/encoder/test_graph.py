"""The writer of ONNX files, beyond what the families of networks need of it."""

from __future__ import annotations

import hypothesis.extra.numpy as npst
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.encoder.graph import onnx_file
from plait.encoder.graph.network import quantise
from plait.encoder.graph.onnx_file import Graph


def run(path, **inputs):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)[0]


@pytest.mark.parametrize("outside", [False, True])
def test_constants_in_the_file_or_in_a_second_one(tmp_path, monkeypatch, outside):
    if outside:  # as for a model of more than 2 GiB
        monkeypatch.setattr(onnx_file, "LARGEST", 1000)
        monkeypatch.setattr(onnx_file, "SMALL", 100)
    table = np.random.default_rng(3).normal(size=(40, 7)).astype(np.float32)
    graph = Graph()
    value = graph.input("x", "float32", ("rows", 40))
    product = graph.add("MatMul", value, graph.constant(table))
    again = graph.add("Add", product, graph.constant(table[:1]))
    graph.output(graph.add("Add", again, graph.constant(-2.5)), "y", "float32", ("rows", 7))
    graph.save(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.data").exists() == outside
    given = np.random.default_rng(4).normal(size=(3, 40)).astype(np.float32)
    found = run(tmp_path / "model.onnx", x=given)
    np.testing.assert_allclose(found, given @ table + table[:1] - 2.5, atol=1e-5)


@pytest.mark.parametrize("kind", ["int64", "int32", "uint8", "int8", "bool"])
def test_constants_of_every_kind(tmp_path, kind):
    values = np.array([[0, 1], [1, 3]]).astype(kind)
    graph = Graph()
    graph.output(graph.constant(values, kind), "y", kind, (2, 2))
    graph.save(tmp_path / "model.onnx")
    assert np.array_equal(run(tmp_path / "model.onnx"), values)


@pytest.mark.parametrize("pairs", [False, True])
@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 9)),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    )
)
def test_quantised_weights_come_back_within_half_a_step(pairs, values):
    levels, scales = quantise(values, pairs)
    assert levels.dtype == np.int8
    whole = np.abs(levels.astype(int))
    assert whole.max() <= 127
    if pairs:  # neighbours whose products with 255 are added in 16 bits by processors without VNNI
        even = whole[:, : whole.shape[1] // 2 * 2]
        assert (even[:, ::2] + even[:, 1::2]).max(initial=0) * 255 <= np.iinfo(np.int16).max
    assert (np.abs(levels * scales - values) <= scales * 0.501).all()
