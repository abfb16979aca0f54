"""Stage 2: MaxSim with every token replaced by its centroid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.search.query import CodecQuery
from plait.store import Segment
from plait.types import FloatArray


def approximate(query: CodecQuery, segment: Segment, docs: npt.NDArray[np.uint32]) -> FloatArray:
    """Centroid-only scores f32 ``[m]`` of documents u32 ``[m]`` (PLAID, section 4.2)."""
    return kernels.approximate(
        query.table, query.table_weights, segment.arrays["codes"], segment.offsets, docs
    )
