"""QUERY + SNAPSHOT -> HITS, one file per codec."""

from plait.search.calibration import Calibration, calibrate, require_recall
from plait.search.params import SCAN_TOKENS, SearchParams
from plait.search.searcher import query_batches, scan, scan_batch, search, search_batch

__all__ = [
    "SCAN_TOKENS",
    "Calibration",
    "SearchParams",
    "calibrate",
    "query_batches",
    "require_recall",
    "scan",
    "scan_batch",
    "search",
    "search_batch",
]
