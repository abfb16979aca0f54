"""Tensors in the form of ``torch.save``, written without torch: the counterpart of ``torchfile``."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np

from plait.importers.foreign import Array

#: dtype -> what torch calls its storage.
_STORAGES = {
    np.dtype("u1"): "ByteStorage",
    np.dtype("<i4"): "IntStorage",
    np.dtype("<i8"): "LongStorage",
    np.dtype("<f2"): "HalfStorage",
    np.dtype("<f4"): "FloatStorage",
}
#: Where torch expects numbers to begin.
ALIGNMENT = 64
LOCAL_HEADER = 30


def write_torch_file(path: Path, value: Array | tuple[Array, ...]) -> None:
    """Write one tensor, or several in a tuple, little-endian and in C order.

    A file is a zip archive without compression: a pickle that puts the tensors together, and the numbers of
    each beside it.
    """
    arrays = value if isinstance(value, tuple) else (value,)
    program = b"\x80\x02" + b"".join(_tensor(key, array) for key, array in enumerate(arrays))
    if isinstance(value, tuple):
        program += {2: b"\x86", 3: b"\x87"}[len(arrays)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        folder = path.stem
        _put(archive, f"{folder}/data.pkl", program + b".")
        _put(archive, f"{folder}/byteorder", b"little")
        for key, array in enumerate(arrays):
            _put(archive, f"{folder}/data/{key}", np.ascontiguousarray(array).tobytes())
        _put(archive, f"{folder}/version", b"3\n")


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """An entry whose content begins at a multiple of ALIGNMENT; always with the same date."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    begin = archive.fp.tell() if archive.fp else 0
    gap = -(begin + LOCAL_HEADER + len(name) + 4) % ALIGNMENT
    entry.extra = b"FB" + gap.to_bytes(2, "little") + b"Z" * gap
    archive.writestr(entry, content)


def _tensor(key: int, array: Array) -> bytes:
    """The pickle instructions of ``_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())``."""
    storage = _STORAGES[array.dtype]
    strides = [int(np.prod(array.shape[place + 1 :])) for place in range(array.ndim)]
    return b"".join(
        (
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            _plain("storage"),
            f"ctorch\n{storage}\n".encode(),
            *map(_plain, (str(key), "cpu", array.size)),
            b"tQ",
            *map(_plain, (0, array.shape, tuple(strides), False)),
            b"ccollections\nOrderedDict\n)RtR",
        )
    )


def _plain(value: object) -> bytes:
    """The instructions that make a plain value."""
    return pickle.dumps(value, protocol=2)[2:-1]
