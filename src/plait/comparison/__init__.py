"""Which method, on my data, at what cost? Methods side by side on one corpus, with queries and judgements.

``plait.compare`` builds what is needed, asks every method the same queries, and gives a ``Report``.
"""

from plait.comparison.comparing import compare
from plait.comparison.judged import JudgedCollection, load_collection
from plait.comparison.known_items import KnownItems, known_items
from plait.comparison.measuring import Latency
from plait.comparison.methods import CROSS_ENCODER_METHODS, METHODS
from plait.comparison.report import MethodResult, Report

__all__ = [
    "CROSS_ENCODER_METHODS",
    "METHODS",
    "JudgedCollection",
    "KnownItems",
    "Latency",
    "MethodResult",
    "Report",
    "compare",
    "known_items",
    "load_collection",
]
