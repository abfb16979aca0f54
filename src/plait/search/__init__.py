"""QUERY + SNAPSHOT -> HITS, one file per codec, one for BM25 and one for single vectors."""

from plait.search.bi_encoder import search_bi_encoder
from plait.search.bm25 import search_bm25
from plait.search.calibration import Calibration, calibrate, params_for
from plait.search.params import SCAN_TOKENS, SearchParams
from plait.search.recall import RecallReport, measure_recall
from plait.search.searcher import query_batches, scan, scan_batch, search, search_batch

__all__ = [
    "SCAN_TOKENS",
    "Calibration",
    "RecallReport",
    "SearchParams",
    "calibrate",
    "measure_recall",
    "params_for",
    "query_batches",
    "scan",
    "scan_batch",
    "search",
    "search_batch",
    "search_bi_encoder",
    "search_bm25",
]
