"""colbert-ai's PLAID on the vectors of vectors.py; started by run_rivals.py in colbert-ai's own environment.

The passages given to its indexer are the numbers of documents; a stand-in for the checkpoint looks their
vectors up. Everything after the checkpoint, k-means to inverted lists, is colbert-ai's own.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import rival
import torch
from colbert.indexing import collection_indexer
from colbert.infra import ColBERTConfig, Run
from colbert.modeling.colbert import ColBERT
from colbert.search.index_storage import IndexScorer
from colbert.searcher import Searcher
from vectors import VectorSet

#: ncells, centroid_score_threshold, ndocs beyond the defaults.
SWEEP = ((4, 0.4, 4096), (8, 0.3, 8192))


class StoredVectors:
    """In the place of colbert.modeling.checkpoint.Checkpoint."""

    source: ClassVar[VectorSet]

    def __init__(self, *_: Any, **__: Any) -> None:
        documents = rival.documents(self.source)
        self.documents = [torch.from_numpy(rows) for rows in documents]

    def docFromText(self, passages: list[str], **_: Any) -> tuple[torch.Tensor, list[int]]:  # noqa: N802
        """Vectors of the passages, one after the other, and their lengths."""
        chosen = [self.documents[int(passage)] for passage in passages]
        return torch.cat(chosen), [len(rows) for rows in chosen]


def build(source: VectorSet, index: Path, nbits: int) -> None:
    StoredVectors.source = source
    collection_indexer.Checkpoint = StoredVectors
    index.mkdir(parents=True)
    config = ColBERTConfig(nbits=nbits, dim=128, checkpoint="none", index_path=str(index), rank=0, nranks=1)
    passages = [str(number) for number in range(len(source.doclens))]
    torch.manual_seed(12345)
    with Run().context(config, inherit_config=False):
        collection_indexer.CollectionIndexer(config, passages, verbose=0).run([])


def open_index(index: Path) -> IndexScorer:
    ColBERT.try_load_torch_extensions(False)
    return IndexScorer(str(index), use_gpu=False)


def searches(opened: IndexScorer) -> rival.Searches:
    for k in (10, 100):
        yield {"default": True}, k, searcher(opened, k, {})
    for ncells, threshold, ndocs in SWEEP:
        params = {"ncells": ncells, "centroid_score_threshold": threshold, "ndocs": ndocs}
        for k in (10, 100):
            yield params | {"default": False}, k, searcher(opened, k, params)


def searcher(opened: IndexScorer, k: int, params: dict[str, Any]) -> rival.Search:
    """Searcher.dense_search with a fresh configuration: the first call fixes an object's defaults."""

    def run(query: Any) -> list[int]:
        config = ColBERTConfig(query_maxlen=32, interaction="colbert", **params)
        self = SimpleNamespace(config=config, ranker=opened, configure=config.configure)
        return Searcher.dense_search(self, torch.from_numpy(query)[None], k=k)[0]

    return run


if __name__ == "__main__":
    torch.set_num_threads(1)
    rival.main("colbert-ai", build, open_index, searches)
