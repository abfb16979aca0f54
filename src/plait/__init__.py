"""plait: late-interaction (multi-vector, ColBERT) retrieval.

>>> import plait
>>> index = plait.Index.create("my_index")  # doctest: +SKIP
>>> index.add(["Paris is the capital of France."])  # doctest: +SKIP
>>> index.search("What is the capital of France?", k=1)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait import train as train
    from plait.analysis import BM25 as BM25
    from plait.comparison import compare as compare
    from plait.encoder import CrossEncoder as CrossEncoder
    from plait.encoder import load_encoder as load_encoder
    from plait.errors import PlaitError as PlaitError
    from plait.exact import maxsim as maxsim
    from plait.exact import rerank as rerank
    from plait.importers import export_colbert as export_colbert
    from plait.importers import import_index as import_index
    from plait.index import Index as Index
    from plait.pipeline import Pipeline as Pipeline
    from plait.search import SearchParams as SearchParams
    from plait.types import Document as Document
    from plait.types import Hit as Hit
    from plait.types import Hits as Hits
    from plait.types import TokenEmbeddings as TokenEmbeddings

__version__ = "0.1.0"

# Resolved at first use, so that `import plait` costs nothing.
_FOLDERS = ("train",)
_HOMES = {
    "BM25": "analysis",
    "CrossEncoder": "encoder",
    "Document": "types",
    "Hit": "types",
    "Hits": "types",
    "Index": "index",
    "Pipeline": "pipeline",
    "PlaitError": "errors",
    "SearchParams": "search",
    "TokenEmbeddings": "types",
    "compare": "comparison",
    "export_colbert": "importers",
    "import_index": "importers",
    "load_encoder": "encoder",
    "maxsim": "exact",
    "rerank": "exact",
}

__all__ = [*sorted(_HOMES), *_FOLDERS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _FOLDERS:
        return import_module(f"plait.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'plait' has no attribute {name!r}")
    return getattr(import_module(f"plait.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
