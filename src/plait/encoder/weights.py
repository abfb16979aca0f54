"""Weights of a checkpoint by name, from safetensors or ``pytorch_model.bin``, in one file or in several.

A safetensors file is an unsigned 64-bit length, that many bytes of JSON (name: dtype, shape, first and last
byte), and the numbers, little endian (https://github.com/huggingface/safetensors). It can't hold code. A
``.bin`` file can, so it is read by ``plait.torchfile``, which runs none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from plait.encoder.json_file import JsonFile
from plait.errors import CheckpointError, TensorFileError
from plait.torchfile import read_torch_file
from plait.types import FloatArray

LONGEST_HEADER = 100 << 20
SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold a folder's weights; safetensors are preferred.

    Raises:
        CheckpointError: there are none, or an index of several files names one that is not there.
    """
    for name in (SAFETENSORS, TORCH):
        if (folder / name).is_file():
            return (folder / name,)
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder / f"{name}.index.json")
    raise CheckpointError(f"{folder}: has no weights: neither {SAFETENSORS} nor {TORCH} is there")


class Weights:
    """The weights in some files. Nothing is read before it is taken, except from ``.bin`` files."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        """Look up what is in the files.

        Raises:
            CheckpointError: one is damaged or holds anything but weights.
        """
        self._found: dict[str, _Stored | np.ndarray[Any, Any]] = {}
        self._where: dict[str, Path] = {}
        self.files = files
        for path in files:
            for name, stored in (
                _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
            ):
                self._found[name] = stored
                self._where[name] = path

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a weight."""
        return tuple(self._require(name).shape)

    def take(self, name: str, *shape: int) -> FloatArray:
        """One weight as f32 of the shape given.

        Raises:
            CheckpointError: it is not there, has another shape, or is not of floats; names file and weight.
        """
        stored = self._require(name)
        if tuple(stored.shape) != shape:
            raise CheckpointError(
                f"{self._where[name]}: {name} has the shape {list(stored.shape)}, but the settings ask for "
                f"{list(shape)}"
            )
        kind = stored.kind if isinstance(stored, _Stored) else stored.dtype.name
        if kind not in _KINDS and kind not in ("float16", "float32", "float64"):
            raise CheckpointError(f"{self._where[name]}: {name} holds {kind}, not floats of 16 to 64 bits")
        values = stored.read() if isinstance(stored, _Stored) else stored
        return np.ascontiguousarray(values, dtype=np.float32)

    def _require(self, name: str) -> _Stored | np.ndarray[Any, Any]:
        if name not in self._found:
            files = ", ".join(str(path) for path in self.files)
            raise CheckpointError(f"{files}: the weight {name} is missing")
        return self._found[name]


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where one weight lies in a safetensors file."""

    path: Path
    kind: str
    shape: tuple[int, ...]
    start: int

    def read(self) -> np.ndarray[Any, Any]:
        count = math.prod(self.shape)
        if count == 0:
            return np.zeros(self.shape, np.float32)
        values = np.memmap(self.path, _KINDS[self.kind], "r", self.start, (count,)).reshape(self.shape)
        if self.kind == "BF16":  # the upper half of an f32
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values


def _read_safetensors(path: Path) -> Iterator[tuple[str, _Stored]]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(LONGEST_HEADER, size - 8):
                raise CheckpointError(f"{path}: the header claims {length} bytes of a file of {size}")
            header = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is no JSON object")
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, _place(path, name, entry, 8 + length, size)


def _place(path: Path, name: str, entry: Any, base: int, size: int) -> _Stored:
    """Where a weight is, after checking that it lies in the file and has the size that its shape needs."""
    try:
        kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sound = isinstance(kind, str) and all(
            isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (*shape, first, last)
        )
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise CheckpointError(f"{path}: the header's entry for {name} is broken: {entry!r}"[:500])
    if not first <= last <= size - base:
        raise CheckpointError(f"{path}: {name} ends at byte {base + last}, but the file has {size}")
    if kind in _KINDS and last - first != math.prod(shape) * np.dtype(_KINDS[kind]).itemsize:
        raise CheckpointError(
            f"{path}: {name} of the shape {shape} and type {kind} can't have {last - first} bytes"
        )
    return _Stored(path, kind, tuple(shape), base + first)


def _read_torch(path: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    try:
        values = read_torch_file(path)
    except TensorFileError as error:
        raise CheckpointError(f"{error}; save the checkpoint as safetensors instead") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: holds {type(values).__name__}, not weights by name")
    for name, value in values.items():
        if isinstance(name, str) and isinstance(value, np.ndarray):
            yield name, value


def _shards(index: Path) -> tuple[Path, ...]:
    names = JsonFile.read(index).part("weight_map").values.values()
    if not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise CheckpointError(f"{index}: weight_map must name files beside it")
    files = tuple(index.parent / name for name in sorted({cast("str", name) for name in names}))
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{index}: names {file.name}, which is not there")
    return files
