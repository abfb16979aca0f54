"""CODE WRITTEN FOR colbert-ai -> PLAIT. The same names and folders, thinly over ``plait.Index``.

``from plait.colbert import Indexer, Searcher`` in the place of ``from colbert import Indexer, Searcher``;
docs/migrating/colbert-ai.md says what is the same and what is not.
"""

from plait.colbert.data import Collection, Queries, Ranking
from plait.colbert.indexer import Indexer
from plait.colbert.infra import ColBERTConfig, Run, RunConfig
from plait.colbert.searcher import Results, Searcher

__all__ = [
    "ColBERTConfig",
    "Collection",
    "Indexer",
    "Queries",
    "Ranking",
    "Results",
    "Run",
    "RunConfig",
    "Searcher",
]
