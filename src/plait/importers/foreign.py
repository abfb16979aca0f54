"""What every index of the field has in common: the residual codec, its tokens chunk by chunk, documents.

Nothing that a reader takes from a file is believed: shapes, dtypes and ranges are checked here, and the file
that does not fit is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.codec import NBITS, ResidualCodec
from plait.errors import ForeignIndexError, TensorFileError
from plait.torchfile import read_torch_file
from plait.types import Document

Array = npt.NDArray[Any]
Doclens = npt.NDArray[np.int64]

#: Larger numbers of chunks than this are a broken file, not an index.
MAX_CHUNKS = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some documents of a foreign index, and the tokens of all of them as the tool has compressed them.

    Attributes:
        codes: u32 ``[ntokens]``, each below the number of centroids.
        residuals: u8 ``[ntokens, row bytes]``.
        doclens: i64 ``[ndocs]``; they sum to ``ntokens``.
    """

    codes: npt.NDArray[np.uint32]
    residuals: npt.NDArray[np.uint8]
    doclens: Doclens


@dataclass(frozen=True, slots=True, eq=False)
class ForeignIndex:
    """An index of another tool, opened.

    Attributes:
        tool: whose it is.
        codec: centroids and buckets.
        doclens: i64 ``[ndocs]``; 0 for documents that the tool has removed.
        chunks: gives the tokens in the order of the documents, reading files as it goes.
        documents: one for each of ``doclens``; None for those that the tool can't find any more.
        checkpoint: the name or the path of the model the vectors came from, where the index tells it.
        notes: what a user should know about this import.
    """

    tool: str
    codec: ResidualCodec
    doclens: Doclens
    chunks: Callable[[], Iterator[Chunk]]
    documents: Sequence[Document | None]
    checkpoint: str | None = None
    notes: list[str] = field(default_factory=list)


def read_json(path: Path, kind: type) -> Any:
    """The JSON object (``dict``) or list (``list``) in a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise ForeignIndexError(path, f"can't be read as JSON ({error})") from error
    if not isinstance(value, kind):
        what = "an object" if kind is dict else "a list"
        raise ForeignIndexError(path, f"must hold {what}, not {type(value).__name__}")
    return value


def whole_number(path: Path, facts: dict[str, Any], key: str, least: int = 0, most: int = 1 << 40) -> int:
    """``facts[key]``, if it is a whole number in that range."""
    value = facts.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ForeignIndexError(
            path, f"{key} must be a whole number from {least:,} to {most:,}, not {value!r}"
        )
    return value


def read_doclens(path: Path) -> Doclens:
    """The lengths of a chunk's documents, from a JSON list."""
    values = read_json(path, list)
    if not all(type(value) is int and 0 <= value < 1 << 31 for value in values):
        raise ForeignIndexError(path, "must hold the numbers of tokens of documents, and nothing else")
    return np.array(values, dtype=np.int64)


def read_tensor(path: Path) -> Array:
    """The one tensor of a file of torch."""
    value = _read_torch(path)
    if not isinstance(value, np.ndarray):
        raise ForeignIndexError(path, f"must hold one tensor, not {type(value).__name__}")
    return value


def read_tensors(path: Path, count: int) -> tuple[Array, ...]:
    """A file of torch that holds so many tensors in a tuple."""
    value = _read_torch(path)
    if (
        not isinstance(value, tuple | list)
        or len(value) != count
        or not all(isinstance(one, np.ndarray) for one in value)
    ):
        raise ForeignIndexError(path, f"must hold {count} tensors")
    return tuple(value)


def _read_torch(path: Path) -> Any:
    try:
        return read_torch_file(path)
    except TensorFileError as error:
        if isinstance(error.__cause__, OSError):
            raise _unreadable(path, error.__cause__) from error
        raise ForeignIndexError(path, error.reason) from error


def read_npy(path: Path) -> Array:
    """The array of a ``.npy`` file, memory-mapped; pickled objects in it are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        raise ForeignIndexError(path, f"can't be read as an array ({error})") from error
    if not isinstance(array, np.ndarray):
        raise ForeignIndexError(path, "is an archive, not one array")
    return array


def _unreadable(path: Path, error: OSError) -> ForeignIndexError:
    if isinstance(error, FileNotFoundError):
        return ForeignIndexError(path, "is missing")
    return ForeignIndexError(path, f"can't be read ({error.strerror or error})")


def checked_codec(paths: Sequence[Path], arrays: Sequence[Array], dim: int, nbits: int) -> ResidualCodec:
    """A codec from centroids, cutoffs and weights, each with the file it is from."""
    if nbits not in NBITS:
        raise ForeignIndexError(paths[0].parent, f"has {nbits} bits per dimension; known are {NBITS}")
    shapes: tuple[tuple[int | None, ...], ...] = ((None, dim), ((1 << nbits) - 1,), (1 << nbits,))
    for path, array, shape in zip(paths, arrays, shapes, strict=True):
        if array.dtype.kind != "f":
            raise ForeignIndexError(path, f"holds {array.dtype}, but floats are expected")
        require_shape(path, array, shape)
        if not np.isfinite(array).all() or (array.size and float(np.abs(array).max()) > 1000):
            raise ForeignIndexError(path, "holds a value that is not finite, or far too large")
    centroids, cutoffs, weights = arrays
    if not 1 <= len(centroids) < 1 << 31:
        raise ForeignIndexError(paths[0], "holds no centroid")
    if (np.diff(cutoffs) < 0).any():
        raise ForeignIndexError(paths[1], "holds cutoffs that are not ascending")
    return ResidualCodec(
        np.ascontiguousarray(centroids.astype(np.float16).astype(np.float32)),
        np.ascontiguousarray(cutoffs, dtype=np.float32),
        np.ascontiguousarray(weights, dtype=np.float32),
    )


def require_shape(path: Path, array: Array, shape: tuple[int | None, ...]) -> None:
    """Raise ForeignIndexError unless the array has that shape; None stands for any length."""
    fits = len(shape) == array.ndim and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ForeignIndexError(path, f"has the shape {array.shape}, expected {shape} (None: any)")


def checked_chunk(
    codec: ResidualCodec,
    codes: Array,
    codes_path: Path,
    residuals: Array,
    residuals_path: Path,
    doclens: Doclens,
) -> Chunk:
    """A chunk whose parts fit each other and the codec."""
    ntokens = int(doclens.sum())
    if codes.dtype.kind not in "iu":
        raise ForeignIndexError(codes_path, f"holds {codes.dtype}, but whole numbers are expected")
    if codes.shape != (ntokens,):
        raise ForeignIndexError(
            codes_path, f"has the shape {codes.shape}, but its documents have {ntokens} tokens"
        )
    if residuals.dtype != np.uint8:
        raise ForeignIndexError(residuals_path, f"holds {residuals.dtype}, but uint8 is expected")
    require_shape(residuals_path, residuals, (ntokens, codec.row_bytes))
    if ntokens and not 0 <= int(codes.min()) <= int(codes.max()) < codec.ncentroids:
        raise ForeignIndexError(
            codes_path, f"names a centroid that is not among the {codec.ncentroids} in the index"
        )
    return Chunk(codes.astype(np.uint32), np.ascontiguousarray(residuals), doclens)
