"""QUERY + SNAPSHOT -> HITS, one file per stage."""

from plait.search.params import SearchParams
from plait.search.searcher import scan, search

__all__ = ["SearchParams", "scan", "search"]
