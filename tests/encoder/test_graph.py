"""The writer of ONNX files, beyond what the families of networks need of it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

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


def test_quantised_weights_come_back_within_half_a_step():
    values = np.random.default_rng(5).normal(size=(9, 33)).astype(np.float32)
    values[4] = 0
    levels, scales = quantise(values, axis=1)
    assert levels.dtype == np.int8
    assert np.abs(levels).max() == 63
    assert (np.abs(levels * scales - values) <= scales / 2 + 1e-7).all()
