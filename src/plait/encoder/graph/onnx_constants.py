"""The constants of an ONNX file that ``onnx_file.Graph`` wrote, without the onnx package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from plait.encoder.graph.onnx_file import KINDS
from plait.errors import CheckpointError

GRAPH, CONSTANT = 7, 5
SIZE, KIND, NAME, RAW = 1, 2, 8, 9
"""Numbers of fields in onnx.proto: of the model, of the graph, and of a tensor."""


def read_constants(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All constants by name, in the order in which they were added.

    Raises:
        CheckpointError: the file can't be read, or its constants are not inside it as the writer puts them.
    """
    try:
        return dict(_constants(memoryview(path.read_bytes())))
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, KeyError, IndexError) as error:
        raise CheckpointError(f"{path}: its constants can't be read ({error})") from error


def _constants(data: memoryview) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    kinds = {number: name for name, number in KINDS.items()}
    for field, graph in _fields(data):
        if field != GRAPH or isinstance(graph, int):
            continue
        for part, tensor in _fields(graph):
            if part != CONSTANT or isinstance(tensor, int):
                continue
            shape = [value for field, value in _fields(tensor) if field == SIZE]
            rest = {field: value for field, value in _fields(tensor) if field != SIZE}
            values = np.frombuffer(rest[RAW], dtype=np.dtype(kinds[rest[KIND]]).newbyteorder("<"))
            yield bytes(rest[NAME]).decode(), values.reshape(shape)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a message: whole numbers, or the bytes of texts, arrays and messages inside."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        value, place = _varint(data, place)
        if key & 7 == 2:
            if place + value > len(data):
                raise ValueError("it ends early")
            yield key >> 3, data[place : place + value]
            place += value
        elif key & 7 == 0:
            yield key >> 3, value
        else:
            raise ValueError(f"a field of the unknown type {key & 7}")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
