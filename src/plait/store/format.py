"""Names, versions and layout of the files of an index: the only place that knows them.

docs/index-format.md describes the same in prose. ::

    my_index/
      catalog.sqlite              settings, codecs, segments, documents, tombstones
      catalog.sqlite-writer       who is writing at this moment, if anybody
      codecs/000001/              centroids.npy ... : the arrays of CODEC_ARRAYS
      segments/000001/            one immutable segment
        doclens.npy pids.npy
        codes.npy residuals.npy gains.npy ivf_lengths.npy ivf_docs.npy      (codec "scaled")
        child_centroids.npy child_scales.npy child_counts.npy               (likewise)
        codes.npy residuals.npy scales.npy ivf_lengths.npy ivf_docs.npy     (codec "residual")
        vectors.npy                                                         (codec "float32")
        bm25_*.npy                                                          (if the index has BM25)
        bi_encoder_codes.npy bi_encoder_scales.npy                          (if it has single vectors)
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import re
import shutil
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from plait.errors import IndexCorrupt, StoreError

FORMAT_VERSION = 3
#: "PLAI", in the header of the catalog.
APPLICATION_ID = 0x504C4149

CATALOG = "catalog.sqlite"
#: Who is writing at this moment; a note for people, not a lock.
HOLDER = f"{CATALOG}-writer"
CODECS = "codecs"
SEGMENTS = "segments"
#: In a segment that is being written, for as long as its lists are made.
SCRATCH = "children.tmp"

#: Arrays of a codec, by its kind.
CODEC_ARRAYS = {
    "residual": {"centroids": "<f2", "cutoffs": "<f4", "weights": "<f4"},
    "scaled": {
        "rotation": "<f4",
        "centroids": "|u1",
        "centroid_scales": "<f4",
        "heads": "|u1",
        "head_scales": "<f4",
        "group_lengths": "<u4",
        "sigma": "<f4",
        "bits": "<u4",
        "gain_borders": "<f4",
        "gain_values": "<f4",
    },
}
DOCUMENT_ARRAYS = {"doclens": "<u4", "pids": "<i8"}
#: Arrays with a row for each token, by the kind of the codec.
TOKEN_ARRAYS = {
    "float32": {"vectors": "<f4"},
    "residual": {"codes": "<u4", "residuals": "|u1", "scales": "<f2"},
    "scaled": {"codes": "<u2", "residuals": "|u1", "gains": "|u1"},
}
#: What a "scaled" segment has besides, for lists finer than the codec's centroids; empty if it has none.
CHILD_ARRAYS = {"child_centroids": "|u1", "child_scales": "<f4", "child_counts": "<u4"}
#: How the documents in the lists of a "scaled" segment are written: up to so many documents in so many bytes.
LIST_FORMS = ((1 << 16, 2, "<u2"), (1 << 24, 3, "|u1"), (1 << 32, 4, "<u4"))

#: How frequencies of terms are written (BM25): up to so large ones in a number of this kind.
BM25_TFS = {"|u1": (1 << 8) - 1, "<u2": (1 << 16) - 1, "<u4": (1 << 32) - 1}

Array = npt.NDArray[Any]

MAX_HEADER = 512
LENGTH = rb"(?:0|[1-9]\d{0,17})"
#: The header that NumPy writes for a plain array in C order: magic, version 1.0, length, a dict.
#: Matched, not evaluated: nothing in an index is ever run.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00([\x00-\xff]{2})\{'descr': '([<|][a-z]\d)', 'fortran_order': False, "
    rb"'shape': \((|" + LENGTH + rb",|" + LENGTH + rb"(?:, " + LENGTH + rb")+)\), \} *\n",
    re.DOTALL,
)


def catalog_path(folder: Path) -> Path:
    """The SQLite file of the index in ``folder``."""
    return folder / CATALOG


def unfinished_path(path: Path) -> Path:
    """Where a file is written that gets its name once it is whole."""
    return path.with_name(path.name + ".partial")


def holder_path(folder: Path) -> Path:
    """The note of the writer that is at work."""
    return folder / HOLDER


def codec_path(folder: Path, codec: int) -> Path:
    """The folder of one codec."""
    return folder / CODECS / f"{codec:06d}"


def segment_path(folder: Path, segment: int) -> Path:
    """The folder of one segment."""
    return folder / SEGMENTS / f"{segment:06d}"


def data_folders(folder: Path) -> list[Path]:
    """The folders of all codecs and segments that are on the disk, listed or not."""
    return [path for name in (CODECS, SEGMENTS) for path in (folder / name).glob("[0-9]*") if path.is_dir()]


def write_arrays(folder: Path, arrays: dict[str, Array], dtypes: dict[str, str]) -> dict[str, int]:
    """Write ``NAME.npy`` for each array, flush all to the disk, and return their CRC-32s.

    The folder is made; one that is there already (left over from a writer that died before its
    commit) is emptied first.

    Raises:
        StoreError: the system refused; names the file and why (a full disk, no permission).
    """
    empty_folder(folder)
    checksums = {name: write_array(folder, name, array, dtypes[name]) for name, array in arrays.items()}
    sync_folder(folder)
    sync_folder(folder.parent)
    return checksums


def write_array(folder: Path, name: str, array: Array, dtype: str) -> int:
    """Write one whole array and flush it; returns its CRC-32."""
    stream = ArrayStream(folder, name, dtype, array.shape[1:])
    stream.append(array)
    return stream.close()


class ArrayStream:
    """A ``.npy`` file that grows by rows; whole once ``close`` has written its length and flushed it."""

    def __init__(self, folder: Path, name: str, dtype: str, row_shape: tuple[int, ...]) -> None:
        self.path = folder / f"{name}.npy"
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._rows = self._crc = 0
        with _naming(self.path):
            self._file = self.path.open("wb")
            self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room in the header for the first length to grow.
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._row_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, rows: Array) -> None:
        """Write rows ``[n, *row_shape]``."""
        data = np.ascontiguousarray(rows, dtype=self._dtype).reshape(-1).view(np.uint8).data
        with _naming(self.path):
            self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self._rows += len(rows)

    def close(self) -> int:
        """Finish the file and return the CRC-32 of its data."""
        with _naming(self.path):
            self._file.seek(0)
            self._write_header()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._crc

    def abandon(self) -> None:
        """Let go of an unfinished file, whose last bytes may not fit on the disk."""
        with suppress(OSError):
            self._file.close()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}; nothing was changed") from error


def empty_folder(folder: Path) -> None:
    """Make a folder; one left over from a writer that died before its commit is emptied.

    Folders above it that have to be made too are flushed into theirs: a commit must not be on the disk
    without them.

    Raises:
        StoreError: the system refused.
    """
    with _naming(folder):
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)  # the link, never what it leads to
        missing = [folder, *(parent for parent in folder.parents if not parent.exists())]
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.iterdir():
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
        for made in missing:
            sync_folder(made.parent)


@contextmanager
def scratch_array(folder: Path, dtype: str, length: int) -> Iterator[Array]:
    """A mapped array ``[length]`` to work with, whose file is removed at the end.

    Its blocks are taken at once: a mapped file that finds the disk full later would end the process.

    Raises:
        StoreError: the system refused.
    """
    path = folder / SCRATCH
    try:
        with _naming(path), path.open("w+b") as file:
            nbytes = max(1, np.dtype(dtype).itemsize * length)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, nbytes)
            else:
                file.truncate(nbytes)
            array = np.memmap(file, dtype=dtype, mode="r+", shape=(length,))
        yield array
    finally:
        with _naming(path):
            path.unlink(missing_ok=True)


def read_array(
    folder: Path, name: str, dtype: str | tuple[str, ...], shape: tuple[int | None, ...] | None
) -> Array:
    """Memory-map ``NAME.npy``.

    Args:
        folder: of the segment or codec.
        name: without the ending.
        dtype: what it must hold, or one of several.
        shape: what it must have; None where any length will do, or for any shape at all.

    Raises:
        IndexCorrupt: the file is missing, or is not what it must be.
        StoreError: the system can't read it.
    """
    path = folder / f"{name}.npy"
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            return _map(file, path, (dtype,) if isinstance(dtype, str) else dtype, shape)
    except FileNotFoundError as error:
        raise IndexCorrupt(path, "is missing") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise IndexCorrupt(path, "is not a plain file") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IndexCorrupt(path, "is a link that leads nowhere") from error
        raise StoreError(f"{path} can't be read: {error.strerror}") from error


def _without_waiting(path: str, flags: int) -> int:
    """A pipe in the place of a file would be waited for for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


def let_go(*arrays: Array) -> None:
    """Give back the memory of mapped arrays' pages; what is in them stays in the file and its cache."""
    for array in arrays:
        owner: Any = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)


def _map(file: BinaryIO, path: Path, dtypes: tuple[str, ...], shape: tuple[int | None, ...] | None) -> Array:
    """The array in an open file: the same file is checked and mapped, whatever happens to its name."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise IndexCorrupt(path, "is not a plain file")
    header, size = HEADER.match(file.read(MAX_HEADER)), status.st_size
    if header is None or int.from_bytes(header[1], "little") != len(header[0]) - 10:
        raise IndexCorrupt(path, "does not begin as a .npy file of version 1.0 does")
    kind = header[2].decode()
    found = tuple(int(length) for length in header[3].split(b",") if length.strip())
    if kind not in dtypes:
        raise IndexCorrupt(path, f"holds {kind}, expected {' or '.join(dtypes)}")
    if shape is not None and not _fits(found, shape):
        raise IndexCorrupt(path, f"has the shape {found}, expected {shape} (None: any)")
    nbytes = np.dtype(kind).itemsize * math.prod(found)
    if size != len(header[0]) + nbytes:
        raise IndexCorrupt(path, f"has {size} bytes, expected {len(header[0]) + nbytes}")
    if nbytes == 0:
        return np.empty(found, dtype=kind)
    return np.asarray(np.memmap(file, dtype=kind, mode="r", offset=len(header[0]), shape=found))


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(
        want in (None, got) for want, got in zip(shape, found, strict=True)
    )


def list_form(ndocs: int) -> tuple[int, str]:
    """Bytes and dtype of a document in the lists of a "scaled" segment of so many documents."""
    return next((nbytes, dtype) for most, nbytes, dtype in LIST_FORMS if ndocs <= most)


def checksum(array: Array) -> int:
    """CRC-32 of an array's bytes, as kept in the catalog."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk.

    Raises:
        StoreError: the system refused.
    """
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Flush a file that another library has written, or a folder, to the disk.

    Raises:
        StoreError: the system refused.
    """
    with _naming(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def bytes_on_disk(folder: Path, parts: Iterable[str] = ()) -> dict[str, int]:
    """Sizes in bytes: ``catalog``, ``codecs``, ``segments`` and ``total``, and each of the optional parts.

    ``segments`` is without those parts.
    """
    sizes = {
        "catalog": sum(file.stat().st_size for file in folder.glob(CATALOG + "*")),
        "codecs": _bytes_below(folder / CODECS),
        "segments": _bytes_below(folder / SEGMENTS),
    }
    total = sum(sizes.values())
    for part in parts:
        sizes[part] = sum(file.stat().st_size for file in (folder / SEGMENTS).glob(f"*/{part}_*.npy"))
        sizes["segments"] -= sizes[part]
    return {**sizes, "total": total}


def _bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
