"""QUERY + SNAPSHOT -> HITS, one file per codec."""

from plait.search.calibration import Calibration, calibrate, require_recall
from plait.search.params import SCAN_TOKENS, SearchParams
from plait.search.searcher import scan, search

__all__ = [
    "SCAN_TOKENS",
    "Calibration",
    "SearchParams",
    "calibrate",
    "require_recall",
    "scan",
    "search",
]
