"""A tiny ONNX graph written byte by byte, so that tests need neither the onnx package nor a stored file.

The graph: ``output[t] = table[input_ids[t]] + 0.25 * sum over attended s of table[input_ids[s]]``. A vector
shows which token it belongs to and which tokens it has seen. With ``pooled``, a second output is the sum
over attended tokens. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import numpy as np

from plait.encoder.graph.onnx_file import _field, _number

INT64, FLOAT = 7, 1


def tiny_model(
    table: np.ndarray, inputs: tuple[str, ...] = ("input_ids", "attention_mask"), pooled: bool = False
) -> bytes:
    """The model's bytes; ``table`` is f32 ``[vocabulary, dim]``, ``inputs`` are int64 ``[texts, tokens]``."""
    dim = table.shape[1]
    nodes = [
        _node("Gather", ["table", "input_ids"], "own"),
        _node("Cast", ["attention_mask"], "seen", _integer_attribute("to", FLOAT)),
        _node("Unsqueeze", ["seen", "last"], "weights"),
        _node("Mul", ["own", "weights"], "visible"),
        _node("ReduceSum", ["visible", "first"], "context", _integer_attribute("keepdims", 1)),
        _node("Mul", ["context", "share"], "scaled"),
        _node("Add", ["own", "scaled"], "output"),
    ]
    outputs = [_value("output", FLOAT, ["texts", "tokens", dim])]
    if pooled:
        nodes.append(_node("ReduceSum", ["visible", "first"], "pooled", _integer_attribute("keepdims", 0)))
        outputs.append(_value("pooled", FLOAT, ["texts", dim]))
    constants = [
        _tensor("table", table.astype("<f4"), FLOAT),
        _tensor("last", np.array([2], "<i8"), INT64),
        _tensor("first", np.array([1], "<i8"), INT64),
        _tensor("share", np.array([0.25], "<f4"), FLOAT),
    ]
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"tiny"),
            *(_field(5, constant) for constant in constants),
            *(_field(11, _value(name, INT64, ["texts", "tokens"])) for name in inputs),
            *(_field(12, output) for output in outputs),
        ]
    )
    operators = _field(8, _field(1, b"") + _number(2, 17))
    return _number(1, 8) + _field(7, graph) + operators


def _node(operator: str, inputs: list[str], output: str, attribute: bytes = b"") -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs)
    return names + _field(2, output.encode()) + _field(4, operator.encode()) + attribute


def _integer_attribute(name: str, value: int) -> bytes:
    return _field(5, _field(1, name.encode()) + _number(3, value) + _number(20, 2))


def _tensor(name: str, values: np.ndarray, kind: int) -> bytes:
    shape = b"".join(_number(1, size) for size in values.shape)
    return shape + _number(2, kind) + _field(8, name.encode()) + _field(9, values.tobytes())


def _value(name: str, kind: int, shape: list[str | int]) -> bytes:
    sizes = [_number(1, size) if isinstance(size, int) else _field(2, size.encode()) for size in shape]
    dimensions = b"".join(_field(1, size) for size in sizes)
    tensor = _number(1, kind) + _field(2, dimensions)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))
