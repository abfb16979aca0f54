"""Stage 3: MaxSim on the reconstructed vectors, first in int8, then in f32 for the best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.search.query import CodecQuery
from plait.store import Segment
from plait.types import FloatArray


def rescore(query: CodecQuery, segment: Segment, docs: npt.NDArray[np.uint32]) -> FloatArray:
    """MaxSim f32 ``[m]`` of documents u32 ``[m]``, from their codes in int8."""
    arrays = segment.arrays
    return kernels.maxsim_codes(
        query.quantised[0],
        query.rescore_weights,
        query.table,
        query.shift,
        query.codec.int8.levels,
        query.codec.nbits,
        arrays["codes"],
        arrays["residuals"],
        arrays["scales"],
        segment.offsets,
        docs,
    )


def refine(vectors: FloatArray, segment: Segment, docs: npt.NDArray[np.uint32]) -> FloatArray:
    """MaxSim f32 ``[m]`` of a query f32 ``[nq, dim]`` with documents u32 ``[m]``, in f32.

    On the original vectors where the segment has them (then it is exact), on the reconstructed
    ones elsewhere.
    """
    if segment.codec is None:
        return kernels.maxsim(vectors, segment.arrays["vectors"], segment.offsets, docs)
    rows, offsets = segment.vectors(docs)
    return kernels.maxsim(vectors, rows, offsets, np.arange(len(docs), dtype=np.uint32))
