"""A bi-encoder's part of a segment: one vector for each document, in 4 bits per dimension
(docs/index-format.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from plait.codec.pooled import (
    POOLED_BITS,
    WIDEST_POOLED,
    compress_pooled,
    decompress_pooled,
    pooled_bytes,
)
from plait.errors import DimensionMismatch, IndexCorrupt, InvalidParameter
from plait.store import format as layout
from plait.types import FloatArray, TokenEmbeddings

if TYPE_CHECKING:
    from plait.store.opening import Segment
    from plait.store.parts import Docs, Embeddings
    from plait.types import Document

Array = npt.NDArray[Any]

#: Vectors whose lengths are checked together.
ROWS_PER_LOOK = 1 << 16
#: How far from 1 the length of a stored vector may be.
ROUNDING = 1e-5


@dataclass(frozen=True)
class BiEncoderPart:
    """How many components the single vectors of an index have."""

    dim: int
    name: ClassVar[str] = "bi_encoder"
    read_whole: ClassVar[tuple[str, ...]] = ("bi_encoder_scales",)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Of the setting in the catalog.

        Raises:
            InvalidParameter: it is malformed.
        """
        dim, bits = (value.get(key) if isinstance(value, dict) else None for key in ("dim", "bits"))
        if not isinstance(dim, int) or isinstance(dim, bool) or not 1 <= dim <= WIDEST_POOLED:
            raise InvalidParameter(
                f"a bi-encoder's vectors must have from 1 to {WIDEST_POOLED} components, not {dim!r}"
            )
        if bits != POOLED_BITS:
            raise InvalidParameter(f"bits is {bits!r}, not {POOLED_BITS}; a newer plait may be needed")
        return cls(dim)

    def as_json(self) -> dict[str, int]:
        """The setting in the catalog."""
        return {"dim": self.dim, "bits": POOLED_BITS}

    def writer(self, folder: Path) -> BiEncoderWriter:
        """Begin the part of a new segment."""
        return BiEncoderWriter(folder, self.dim)

    def open(self, folder: Path, ndocs: int) -> dict[str, Array]:
        """Map the arrays of a segment.

        Raises:
            IndexCorrupt: a file is missing, has another shape, or a scale is no number that it can be.
        """
        codes = layout.read_array(folder, "bi_encoder_codes", "|u1", (ndocs, pooled_bytes(self.dim)))
        scales = layout.read_array(folder, "bi_encoder_scales", "<f4", (ndocs,))
        if not ((scales >= 0) & (scales <= 1)).all():  # false for NaN
            raise IndexCorrupt(folder / "bi_encoder_scales.npy", "holds what is no scale from 0 to 1")
        return {"bi_encoder_codes": codes, "bi_encoder_scales": scales}

    def problems(self, segment: Segment) -> Iterator[tuple[str, str]]:
        """What is wrong with the arrays though their checksums are right."""
        for start in range(0, segment.ndocs, ROWS_PER_LOOK):
            docs = slice(start, start + ROWS_PER_LOOK)
            scales = segment.arrays["bi_encoder_scales"][docs]
            vectors = decompress_pooled(segment.arrays["bi_encoder_codes"][docs], scales, self.dim)
            lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
            if (np.abs(lengths[scales > 0] - 1) > ROUNDING).any():
                yield "bi_encoder_scales", "a vector does not have the length 1"
                return


class BiEncoderWriter:
    """Compresses the single vectors of new documents, and copies those of others."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._dim = dim
        self._codes = layout.ArrayStream(folder, "bi_encoder_codes", "|u1", (pooled_bytes(dim),))
        self._scales = layout.ArrayStream(folder, "bi_encoder_scales", "<f4", ())

    def add(self, documents: Sequence[Document], embeddings: Embeddings) -> None:
        """New documents."""
        self._append(*compress_pooled(self._vectors(embeddings())))

    def _vectors(self, embeddings: TokenEmbeddings) -> FloatArray:
        """Those given, or else the mean of the token vectors.

        Where that has another width than the index's single vectors, there are only zeros.
        """
        if embeddings.pooled is None and embeddings.dim != self._dim:
            return np.zeros((len(embeddings), self._dim), dtype=np.float32)
        vectors = embeddings.single_vectors()
        if vectors.shape[1] != self._dim:
            raise DimensionMismatch(self._dim, vectors.shape[1], "pooled vectors")
        return vectors

    def copy(self, segment: Segment, docs: Docs) -> None:
        """Documents of a segment that has their vectors."""
        arrays = segment.arrays
        self._append(arrays["bi_encoder_codes"][docs], arrays["bi_encoder_scales"][docs])
        layout.let_go(arrays["bi_encoder_codes"])

    def _append(self, codes: npt.NDArray[np.uint8], scales: FloatArray) -> None:
        self._codes.append(codes)
        self._scales.append(scales)

    def finish(self) -> dict[str, int]:
        """Write what is left; returns the checksums."""
        return {"bi_encoder_codes": self._codes.close(), "bi_encoder_scales": self._scales.close()}

    def abandon(self) -> None:
        """Let go of unfinished files."""
        self._codes.abandon()
        self._scales.abandon()
