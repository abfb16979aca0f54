"""Values that cross folders: ragged token embeddings, hits and documents.

Multi-vector data is ragged everywhere in plait: one matrix of token vectors plus the number of
tokens of each document. Nothing is padded, so MaxSim has one meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from plait.errors import DimensionMismatch, InvalidVectors, NonFiniteVectors

FloatArray: TypeAlias = npt.NDArray[np.float32]
Metadata: TypeAlias = Mapping[str, Any]
#: Called with a stage, how much of it is done, and how much there is.
Progress: TypeAlias = Callable[[str, int, int], None]

#: A shorter vector counts as one of zeros, and keeps no direction.
SMALLEST_NORM = np.float32(1e-12)


@dataclass(frozen=True, slots=True, eq=False)
class TokenEmbeddings:
    """Token vectors of several texts, without padding.

    Attributes:
        vectors: f32 ``[ntokens, dim]``, the vectors of all texts one after the other.
        doclens: i64 ``[ntexts]``, how many rows each text has; they sum to ``ntokens``.
        pooled: f32 ``[ntexts, d]``, one vector of unit length for each text, of the same pass through the
            network (a bi-encoder's); None if there are none.
        offsets: i64 ``[ntexts + 1]``, where the rows of each text begin.
    """

    vectors: FloatArray
    doclens: npt.NDArray[np.int64]
    pooled: FloatArray | None = None
    offsets: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
        doclens = np.ascontiguousarray(self.doclens, dtype=np.int64)
        if vectors.ndim != 2:
            raise InvalidVectors(f"vectors must be a matrix [ntokens, dim], not {vectors.ndim}-dimensional")
        if doclens.ndim != 1 or (doclens < 0).any() or int(doclens.sum()) != len(vectors):
            raise InvalidVectors(
                f"doclens must be non-negative lengths that sum to {len(vectors)}, "
                f"the number of vectors given"
            )
        if self.pooled is not None:
            pooled = np.ascontiguousarray(self.pooled, dtype=np.float32)
            if pooled.ndim != 2 or len(pooled) != len(doclens):
                raise InvalidVectors(
                    f"pooled must be a matrix [{len(doclens)}, d], one row per text, but has the shape "
                    f"{pooled.shape}"
                )
            object.__setattr__(self, "pooled", pooled)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "doclens", doclens)
        object.__setattr__(self, "offsets", offsets_of(doclens))

    @classmethod
    def from_list(
        cls,
        matrices: Sequence[npt.ArrayLike],
        dim: int | None = None,
        pooled: npt.NDArray[np.float32] | None = None,
    ) -> TokenEmbeddings:
        """Join one ``[ntokens, dim]`` matrix per text.

        Args:
            matrices: one array per text.
            dim: the expected width; needed only when ``matrices`` is empty.
            pooled: f32 ``[ntexts, d]``, if there are any.

        Raises:
            InvalidVectors: an entry is not a matrix.
            DimensionMismatch: the entries, or ``dim``, disagree on the width.
        """
        arrays = [np.asarray(matrix, dtype=np.float32) for matrix in matrices]
        for position, array in enumerate(arrays):
            if array.ndim != 2:
                raise InvalidVectors(
                    f"vectors[{position}] must be a matrix [ntokens, dim], but has the shape {array.shape}"
                )
            dim = array.shape[1] if dim is None else dim
            if array.shape[1] != dim:
                raise DimensionMismatch(expected=dim, given=array.shape[1], what=f"vectors[{position}]")
        doclens = np.array([len(array) for array in arrays], dtype=np.int64)
        empty = np.empty((0, dim or 0), dtype=np.float32)
        return cls(np.concatenate([empty, *arrays]) if arrays else empty, doclens, pooled)

    @property
    def dim(self) -> int:
        """Components per vector."""
        return int(self.vectors.shape[1])

    @property
    def ntokens(self) -> int:
        """Vectors in all."""
        return len(self.vectors)

    def single_vectors(self) -> FloatArray:
        """f32 ``[ntexts, d]``: ``pooled``, or else the mean of each text's token vectors at unit length.

        A text without tokens has zeros.
        """
        if self.pooled is not None:
            return self.pooled
        means = np.zeros((len(self), self.dim), dtype=np.float32)
        for position, rows in enumerate(self):
            if len(rows):
                mean = rows.sum(axis=0, dtype=np.float32)
                means[position] = mean / max(np.sqrt(np.square(mean).sum()), SMALLEST_NORM)
        return means

    def __len__(self) -> int:
        return len(self.doclens)

    @overload
    def __getitem__(self, key: int) -> FloatArray: ...
    @overload
    def __getitem__(self, key: slice) -> TokenEmbeddings: ...
    def __getitem__(self, key: int | slice) -> FloatArray | TokenEmbeddings:
        """``[ntokens, dim]`` of one text, or the embeddings of a run of texts (a view)."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                raise InvalidVectors("TokenEmbeddings can be sliced with step 1 only")
            stop = max(start, stop)
            rows = self.vectors[self.offsets[start] : self.offsets[stop]]
            pooled = None if self.pooled is None else self.pooled[start:stop]
            return TokenEmbeddings(rows, self.doclens[start:stop], pooled)
        position = range(len(self))[key]
        return self.vectors[self.offsets[position] : self.offsets[position + 1]]

    def __iter__(self) -> Iterator[FloatArray]:
        return (self[position] for position in range(len(self)))

    def require_finite(self, what: str = "vectors") -> None:
        """Raise NonFiniteVectors, naming the first text that holds a NaN or an infinity."""
        with np.errstate(invalid="ignore", over="ignore"):
            if self.pooled is not None and not np.isfinite(self.pooled).all():
                text = int(np.argmin(np.isfinite(self.pooled).all(axis=1)))
                raise NonFiniteVectors(f"the pooled vector of {what}[{text}] holds a NaN or an infinity")
            if np.isfinite(self.vectors.sum()):  # a tenth of the cost of looking at each
                return
        finite = np.isfinite(self.vectors).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            text = int(np.searchsorted(self.offsets, row, side="right")) - 1
            raise NonFiniteVectors(f"{what}[{text}] holds a NaN or an infinity; nothing was changed")


def offsets_of(doclens: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """i64 ``[n + 1]``: where each run begins, and the total at the end."""
    lengths = np.asarray(doclens, dtype=np.int64)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search. Unpacks to the field's triple: ``id, rank, score = hit``.

    Attributes:
        rank: 1 for the best hit.
        id: the document's key, as the user gave it.
        score: how well the document answers (higher is better), by the stage that placed it last; MaxSim of
            the query and the document as stored, for ``Index.search``.
        text: the document's text, or None when it was added as vectors only.
        metadata: the document's metadata, a new dict for each hit.
        scores: of a pipeline's hits, the score of each stage that saw the document, by the stage's name.
    """

    rank: int
    id: str
    score: float
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        yield self.id
        yield self.rank
        yield self.score


class Hits(list[Hit]):
    """The hits of a pipeline or of one of its stages, best first: a list, and how it came about.

    Attributes:
        timings: milliseconds of each stage by its name, in the order of their work; ``encode`` is what
            encoding the query took, and no stage's own time holds it. They sum up to the search, nearly.
        stopped: stages that ran out of time, and gave what they had.
        late: stages that could not be stopped and took longer than their budget; what they gave is whole.
    """

    def __init__(
        self,
        hits: Iterable[Hit] = (),
        timings: Mapping[str, float] | None = None,
        stopped: Iterable[str] = (),
        late: Iterable[str] = (),
    ) -> None:
        super().__init__(hits)
        self.timings: dict[str, float] = dict(timings or {})
        self.stopped: list[str] = list(stopped)
        self.late: list[str] = list(late)

    @property
    def complete(self) -> bool:
        """False if a stage was stopped: with more time the hits could be others."""
        return not self.stopped


@dataclass(frozen=True, slots=True)
class Document:
    """One stored document: its key, text and metadata."""

    id: str
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
