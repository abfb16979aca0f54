"""Files written by ``torch.save``, read without torch and without running what is in them.

Such a file is a pickle that names tensors, and their bytes beside it. A pickle is a program: an ordinary
reader calls whatever function it names. The reader here knows the few instructions that make plain
containers, and the few functions that put a tensor together, which it replaces by its own. Everything else is
refused by name.

Two forms exist: a zip archive (torch 1.6 and later), and pickles followed by the bytes ("legacy").
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from plait.errors import TensorFileError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

_Order: TypeAlias = Literal["<", ">"]
_BFLOAT16 = "bfloat16"
_STORAGES = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "ShortStorage": "i2",
    "IntStorage": "i4",
    "LongStorage": "i8",
    "HalfStorage": "f2",
    "BFloat16Storage": _BFLOAT16,
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
}
_VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MARK = object()


def read_torch_file(path: str | Path) -> Any:
    """Read what ``torch.save`` wrote: a tensor, or containers of tensors, numbers and strings.

    Args:
        path: the file, in the zip or in the legacy form.

    Returns:
        The same nesting of dicts, lists and tuples with a read-only NumPy array for each tensor, of its own
        shape and dtype; bfloat16, which NumPy lacks, becomes float32.

    Raises:
        TensorFileError: the file can't be read, is damaged, or holds anything but tensors in plain
            containers; the message names the file and what was refused. Nothing of such a file is run.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_legacy(path)
    except TensorFileError:
        raise
    except _Refused as error:
        raise TensorFileError(path, str(error)) from None
    except OSError as error:
        raise TensorFileError(path, f"can't be read ({error.strerror or error})") from error
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise TensorFileError(path, f"is damaged ({error or type(error).__name__})") from error
    except (zipfile.BadZipFile, struct.error, NotImplementedError, RuntimeError, AttributeError) as error:
        raise TensorFileError(path, f"is damaged ({error})") from error


class _Refused(Exception):
    """The pickle holds something that is not read."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A function or class that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class _Storage:
    """The numbers that tensors are views of: flat, or None while their place in the file is unknown."""

    key: str
    kind: str
    length: int
    values: np.ndarray[Any, Any] | None


_FindStorage = Callable[[str, str, int], "_Storage"]


def _read_zip(path: Path) -> Any:
    """One pickle ``NAME/data.pkl``, one entry ``NAME/data/KEY`` per storage."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Refused("is a zip archive, but not one that torch.save writes: it has no single data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order: _Order = "<"
        if f"{folder}byteorder" in archive.namelist():
            order = ">" if archive.read(f"{folder}byteorder") == b"big" else "<"
        whole = path.stat().st_size
        found: dict[str, _Storage] = {}

        def read(entry: str) -> bytes:
            if archive.getinfo(entry).file_size > whole:  # torch stores without compression
                raise _Refused(f"the entry {entry} claims to be larger than the file")
            return archive.read(entry)

        def storage(key: str, kind: str, length: int) -> _Storage:
            if key not in found:
                found[key] = _Storage(
                    key, kind, length, _numbers(read(f"{folder}data/{key}"), kind, length, order)
                )
            return found[key]

        return _run(io.BytesIO(read(pickles[0])), storage)


def _read_legacy(path: Path) -> Any:
    """Pickles: magic number, protocol, system, object, keys; then per key an i64 length and the numbers."""
    content = path.read_bytes()
    stream = io.BytesIO(content)
    try:
        magic = _run(stream, _no_storage)
    except (_Refused, ValueError, LookupError, TypeError):
        magic = None
    if magic != LEGACY_MAGIC:
        raise _Refused("was not written by torch.save: it is no zip archive and has no magic number")
    if (protocol := _run(stream, _no_storage)) != LEGACY_PROTOCOL:
        raise _Refused(f"has the protocol {protocol!r}, but {LEGACY_PROTOCOL} is expected")
    system = _run(stream, _no_storage)
    order: _Order = "<" if system.get("little_endian", True) else ">"
    start = stream.tell()
    kinds: dict[str, _Storage] = {}

    def note(key: str, kind: str, length: int) -> _Storage:
        return kinds.setdefault(key, _Storage(key, kind, length, None))

    _run(stream, note)  # the numbers come last, and how long they are is only said by their kind
    found: dict[str, _Storage] = {}
    for key in _run(stream, _no_storage):
        known = kinds[key]
        (length,) = struct.unpack(order + "q", stream.read(8))
        if length != known.length:
            raise _Refused(f"storage {key} has {length} numbers, but the pickle says {known.length}")
        values = _numbers(stream.read(max(length, 0) * _width(known.kind)), known.kind, length, order)
        found[key] = _Storage(key, known.kind, length, values)
    stream.seek(start)
    return _run(stream, lambda key, kind, length: found[key])


def _no_storage(key: str, kind: str, length: int) -> _Storage:
    raise _Refused("names a tensor where there can be none")


def _width(kind: str) -> int:
    return 2 if kind == _BFLOAT16 else np.dtype(kind).itemsize


def _numbers(content: bytes, kind: str, length: int, order: _Order) -> np.ndarray[Any, Any]:
    if length < 0 or len(content) < length * _width(kind):
        raise _Refused(
            f"{length} numbers of {_width(kind)} bytes are announced, but {len(content)} bytes are there"
        )
    if kind == _BFLOAT16:  # the upper half of an f32
        halves = np.frombuffer(content, order + "u2", length).astype(np.uint32)
        values: np.ndarray[Any, Any] = (halves << 16).view(np.float32)
    else:
        values = np.frombuffer(content, np.dtype(kind).newbyteorder(order), length)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    values.flags.writeable = False
    return values


def _run(stream: io.BytesIO, find_storage: _FindStorage) -> Any:
    """Run one pickle by the few instructions known here; the stream is left behind its end."""
    machine = _Machine(find_storage)
    for operator, argument, _ in pickletools.genops(stream):
        if operator.name == "STOP":
            return machine.pop()
        machine.step(operator.name, argument)
    raise _Refused("ends within a pickle")


class _Machine:
    """A stack and a memo, as in ``pickletools``' description of a pickle."""

    def __init__(self, find_storage: _FindStorage) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.find_storage = find_storage

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise _Refused(
                f"holds the pickle instruction {name}, which tensors in plain containers do not need"
            )

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _Refused("is damaged: a pickle takes a value that is not there")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:  # LookupError below the bottom
            place -= 1
            if place < 0:
                raise _Refused("is damaged: a pickle lacks a mark")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def last(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise _Refused(f"is damaged: a pickle fills a {kind.__name__} that is not there")
        return self.stack[-1]

    def pop_tuple(self, count: int) -> None:
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def remember(self, place: int) -> None:
        self.memo[place] = self.pop()
        self.stack.append(self.memo[place])

    def set_items(self, flat: list[Any]) -> None:
        self.last(dict).update(zip(flat[::2], flat[1::2], strict=True))

    def set_one(self) -> None:
        value, key = self.pop(), self.pop()
        self.last(dict)[key] = value

    def append(self, values: list[Any]) -> None:
        self.last(list).extend(values)

    def push_dict(self, flat: list[Any]) -> None:
        self.stack.append(dict(zip(flat[::2], flat[1::2], strict=True)))

    def push_named(self) -> None:
        name, module = self.pop(), self.pop()
        self.stack.append(_Named(str(module), str(name)))

    def call(self) -> None:
        """A call: only of what puts tensors and ordered dicts together."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Named) or str(function) not in _FUNCTIONS:
            raise _Refused(f"calls {function}, which is not run: only tensors in plain containers are read")
        self.stack.append(_FUNCTIONS[str(function)](*arguments))

    def build(self) -> None:
        """Attributes of an object: torch notes versions on a state dict, which nobody needs here."""
        self.pop()
        self.last(dict)

    def push_storage(self) -> None:
        """What a pickle calls a persistent id: ("storage", class, key, device, number of elements, ...)."""
        identity = self.pop()
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise _Refused("holds a reference that is no tensor storage")
        _, kind, key, _, length = identity[:5]
        if len(identity) > 5 and identity[5] is not None:
            raise _Refused(
                "holds a storage that is a view of another; save the file again with a newer torch"
            )
        if not isinstance(kind, _Named) or kind.module != "torch" or kind.name not in _STORAGES:
            raise _Refused(f"holds numbers of the type {kind}; known are {', '.join(_STORAGES)}")
        if not isinstance(key, str) or not isinstance(length, int):
            raise _Refused("holds a storage without a key or a length")
        self.stack.append(self.find_storage(key, _STORAGES[kind.name], length))


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
    """A view of a storage; the rest (gradients, hooks) is of no use here."""
    sound = isinstance(storage, _Storage) and isinstance(size, tuple) and isinstance(stride, tuple)
    numbers = (offset, *size, *stride) if sound else ()
    if not sound or len(size) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise _Refused("holds a tensor without a storage, a shape or strides")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count > storage.length or (count and last >= storage.length):
        raise _Refused(f"holds a tensor of the shape {size}, but its storage has {storage.length} numbers")
    if storage.values is None:
        return None
    if count == 0:
        return np.zeros(size, storage.values.dtype)
    width = storage.values.itemsize
    return np.lib.stride_tricks.as_strided(
        storage.values[offset:], size, tuple(step * width for step in stride), writeable=False
    )


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda items=(): dict(items),
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}

_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "POP": lambda machine, _: machine.pop(),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.pop_tuple(1),
    "TUPLE2": lambda machine, _: machine.pop_tuple(2),
    "TUPLE3": lambda machine, _: machine.pop_tuple(3),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "DICT": lambda machine, _: machine.push_dict(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_one(),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GET": lambda machine, place: machine.stack.append(machine.memo[int(place)]),
    "BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "PUT": lambda machine, place: machine.remember(int(place)),
    "BINPUT": lambda machine, place: machine.remember(place),
    "LONG_BINPUT": lambda machine, place: machine.remember(place),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "GLOBAL": lambda machine, name: machine.stack.append(_Named(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.push_named(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.push_storage(),
}
