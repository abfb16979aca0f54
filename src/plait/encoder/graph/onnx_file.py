"""ONNX graphs written without the onnx package: nodes, constants, and the bytes of the file.

A file is one protobuf message (onnx.proto, https://github.com/onnx/onnx); the numbers below are its field
numbers. Protobuf ends at 2 GiB, so a larger model's constants go to a second file, as onnx.proto provides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

OPSET = 20
IR_VERSION = 9
LARGEST = (1 << 31) - (1 << 20)
SMALL = 4096
"""Bytes up to which a constant stays in the graph when the others go to a second file."""

KINDS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
Attribute: TypeAlias = int | float | str | Sequence[int]
Chunks: TypeAlias = list[bytes | memoryview]


class Graph:
    """A graph under construction. Values are known by their names, which the methods return."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: dict[str, np.ndarray[Any, Any]] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []

    def input(self, name: str, kind: str, shape: Sequence[str | int]) -> str:
        """Declare an input; sizes that vary have a name."""
        self._inputs.append(_value(name, KINDS[kind], shape))
        return name

    def output(self, value: str, name: str, kind: str, shape: Sequence[str | int]) -> None:
        """Declare a value to be an output, under a name."""
        self._nodes.append(_node("Identity", [value], [name], "", {}))
        self._outputs.append(_value(name, KINDS[kind], shape))

    def constant(self, values: np.ndarray[Any, Any] | list[Any] | float, kind: str = "float32") -> str:
        """Add a constant."""
        name = f"c{len(self._constants)}"
        self._constants[name] = np.ascontiguousarray(values, dtype=kind)
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """Add a node with one output."""
        return self.add_many(operator, 1, *inputs, domain=domain, **attributes)[0]

    def add_many(
        self, operator: str, outputs: int, *inputs: str, domain: str = "", **attributes: Attribute
    ) -> list[str]:
        """Add a node with several outputs."""
        names = [f"n{len(self._nodes)}_{place}" for place in range(outputs)]
        self._nodes.append(_node(operator, inputs, names, domain, attributes))
        return names

    def save(self, path: Path) -> None:
        """Write the graph, and beside it ``NAME.data`` if it is larger than protobuf allows."""
        total = sum(constant.nbytes for constant in self._constants.values())
        data = path.with_name(path.name + ".data") if total > LARGEST else None
        tensors: list[Chunks] = []
        place = 0
        for name, values in self._constants.items():
            outside = data is not None and values.nbytes > SMALL
            tensors.append(_tensor(name, values, (f"{path.name}.data", place) if outside else None))
            place += values.nbytes if outside else 0
        if data is not None:
            with data.open("wb") as file:
                for values in self._constants.values():
                    if values.nbytes > SMALL:
                        file.write(_raw(values))
        with path.open("wb") as file:
            file.writelines(self._chunks(tensors))

    def _chunks(self, tensors: list[Chunks]) -> Chunks:
        graph: Chunks = [
            *(_field(1, node) for node in self._nodes),
            _field(2, b"plait"),
            *(chunk for tensor in tensors for chunk in _framed(5, tensor)),
            *(_field(11, value) for value in self._inputs),
            *(_field(12, value) for value in self._outputs),
        ]
        operators = _field(8, _field(1, b"") + _number(2, OPSET))
        extra = _field(8, _field(1, b"com.microsoft") + _number(2, 1))
        return [_number(1, IR_VERSION), _field(2, b"plait"), *_framed(7, graph), operators, extra]


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as 64-bit two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, payload: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(payload)) + payload


def _framed(field: int, chunks: Chunks) -> Chunks:
    """A message of many pieces, without joining them: weights are large."""
    return [_varint(field << 3 | 2) + _varint(sum(len(chunk) for chunk in chunks)), *chunks]


def _node(
    operator: str,
    inputs: Iterable[str],
    outputs: Iterable[str],
    domain: str,
    attributes: dict[str, Attribute],
) -> bytes:
    return b"".join(
        [
            *(_field(1, name.encode()) for name in inputs),
            *(_field(2, name.encode()) for name in outputs),
            _field(4, operator.encode()),
            *(_field(5, _attribute(name, value)) for name, value in attributes.items()),
            _field(7, domain.encode()),
        ]
    )


def _attribute(name: str, value: Attribute) -> bytes:
    start = _field(1, name.encode())
    if isinstance(value, int):
        return start + _number(3, value) + _number(20, 2)
    if isinstance(value, float):
        return start + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, str):
        return start + _field(4, value.encode()) + _number(20, 3)
    return start + b"".join(_number(8, item) for item in value) + _number(20, 7)


def _tensor(name: str, values: np.ndarray[Any, Any], outside: tuple[str, int] | None) -> Chunks:
    head = b"".join(_number(1, size) for size in values.shape)
    head += _number(2, KINDS[values.dtype.name]) + _field(8, name.encode())
    if outside is None:
        return [head, *_framed(9, [_raw(values)])]
    entries = {"location": outside[0], "offset": str(outside[1]), "length": str(values.nbytes)}
    for key, value in entries.items():
        head += _field(13, _field(1, key.encode()) + _field(2, value.encode()))
    return [head + _number(14, 1)]


def _raw(values: np.ndarray[Any, Any]) -> memoryview:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8).data


def _value(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    sizes = [_number(1, size) if isinstance(size, int) else _field(2, size.encode()) for size in shape]
    dimensions = b"".join(_field(1, size) for size in sizes)
    tensor = _number(1, kind) + _field(2, dimensions)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))
