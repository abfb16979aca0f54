"""Which documents of a segment may be found: those alive, and allowed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plait.store import Segment

Mask = npt.NDArray[np.uint8] | None


def mask_of(segment: Segment, allowed: npt.NDArray[np.int64] | None) -> Mask:
    """u8 ``[ndocs]``: 1 where a document is alive and allowed; None when all are."""
    if allowed is None:
        return segment.alive
    places = np.searchsorted(segment.pids, allowed)
    inside = places < segment.ndocs
    inside[inside] = segment.pids[places[inside]] == allowed[inside]
    mask = np.zeros(segment.ndocs, dtype=np.uint8)
    mask[places[inside]] = 1
    return mask if segment.alive is None else mask & segment.alive
