"""Stage 1: which documents have tokens near the query's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.search.query import CodecQuery
from plait.store import Segment
from plait.types import FloatArray


def gather(
    query: CodecQuery, segment: Segment, nprobe: int, allowed: npt.NDArray[np.uint8] | None
) -> tuple[npt.NDArray[np.uint32], FloatArray]:
    """Documents of a segment that the lists of the probed centroids name.

    Args:
        query: the query in the segment's codec.
        segment: where to look.
        nprobe: lists visited for each query token.
        allowed: u8 ``[ndocs]``, 0 for documents that must not be found; None allows all.

    Returns:
        u32 ``[m]`` documents, ascending, and their scores f32 ``[m]`` as far as the lists show
        them: sums over query tokens of how much better than the last list the best list is.
    """
    return kernels.gather(
        query.table,
        query.probes(nprobe),
        query.table_weights,
        segment.ivf_offsets,
        segment.arrays["ivf_docs"],
        allowed,
        segment.ndocs,
    )
