"""Indexes of colbert-ai and RAGatouille; runs in their environment (make_foreign_indexes.py).

Only the checkpoint is replaced, by a table of vectors; k-means, buckets, packing and files are theirs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import corpus
import torch
from colbert import Indexer, index_updater, searcher
from colbert.indexing import collection_indexer
from colbert.infra import ColBERTConfig, Run, RunConfig
from colbert.modeling.colbert import ColBERT
from colbert.search.index_storage import IndexScorer


class StoredVectors:
    """In the place of colbert.modeling.checkpoint.Checkpoint."""

    query_tokenizer = SimpleNamespace(query_maxlen=6)
    bert = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=512))

    def __init__(self, *_: Any, **__: Any) -> None:
        documents = map(torch.from_numpy, corpus.vectors())
        self.known = dict(zip(corpus.texts(), documents, strict=True))

    def docFromText(self, passages: list[str], **_: Any) -> tuple[torch.Tensor, list[int]]:  # noqa: N802
        """Vectors of the passages, one after the other, and their lengths."""
        chosen = [self.known[passage] for passage in passages]
        return torch.cat(chosen), [len(rows) for rows in chosen]


def build(folder: Path, nbits: int, chunk: int) -> None:
    """An index of the whole corpus, in chunks of so many passages, its collection beside it."""
    texts = corpus.texts()
    lines = [f"{number}\t{text}\n" for number, text in enumerate(texts)]
    (folder.parent / "collection.tsv").write_text("".join(lines), encoding="utf-8")
    collection_indexer.Checkpoint = StoredVectors
    collection_indexer.Collection.get_chunksize = lambda self: chunk
    config = ColBERTConfig(
        nbits=nbits, dim=corpus.DIM, doc_maxlen=40, query_maxlen=6,
        checkpoint="the/checkpoint", index_path=str(folder),
    )  # fmt: skip
    ColBERTConfig.load_from_checkpoint = classmethod(lambda cls, path: None)
    with Run().context(RunConfig(nranks=1, avoid_fork_if_possible=True, root=str(folder.parent))):
        Indexer("the/checkpoint", config=config, verbose=0).index(
            name=folder.name, collection="collection.tsv", overwrite="force_silent_overwrite"
        )


def scores(folder: Path, names: Any = lambda pid: pid) -> list[list[tuple[Any, float]]]:
    """Every document that has tokens, rescored by colbert-ai."""
    ColBERT.try_load_torch_extensions(False)
    opened = IndexScorer(str(folder), use_gpu=False)
    config = ColBERTConfig(query_maxlen=6, interaction="colbert", ncells=4, ndocs=4096)
    pids = [pid for pid, length in enumerate(opened.doclens.tolist()) if length]
    hits = []
    for query in torch.from_numpy(corpus.queries()):
        found, values = opened.rank(config, query[None], pids=torch.tensor(pids, dtype=torch.int32))
        hits.append([(names(pid), score) for pid, score in zip(found, values, strict=True)])
    return hits


def remove(folder: Path, pids: list[int]) -> None:
    """Take passages out, as colbert-ai's IndexUpdater does."""
    ranker = IndexScorer(str(folder), use_gpu=False)
    updater = index_updater.IndexUpdater(ColBERTConfig(), SimpleNamespace(index=str(folder), ranker=ranker))
    updater.remove(pids)
    updater.persist_to_disk()


class Anything(ModuleType):
    """A module that has a class of any name."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stand_in(*names: str) -> None:
    """RAGatouille imports these for adapters that are not used here, some of which are gone."""
    for name in names:
        sys.modules[name] = Anything(name)


def build_ragatouille(folder: Path) -> None:
    """What RAGPretrainedModel.index leaves; two passages share a document, and one document is deleted."""
    stand_in(
        "langchain", "langchain.retrievers", "langchain.retrievers.document_compressors",
        "langchain.retrievers.document_compressors.base", "langchain_core", "langchain_core.retrievers",
        "langchain_core.callbacks", "langchain_core.callbacks.manager", "langchain_core.documents",
        "llama_index", "llama_index.text_splitter", "sentence_transformers", "voyager",
    )  # fmt: skip
    from ragatouille.models import colbert

    for module in (collection_indexer, colbert, index_updater, searcher):
        module.Checkpoint = StoredVectors
    collection_indexer.Collection.get_chunksize = lambda self: 40
    ColBERTConfig.load_from_checkpoint = classmethod(lambda cls, path: ColBERTConfig(dim=corpus.DIM))
    model = colbert.ColBERT(
        "the/checkpoint", index_root=str(folder.parent), index_name=folder.name, verbose=0
    )
    model.index(
        collection=corpus.texts(),
        pid_docid_map={pid: f"doc-{max(pid, 1)}" for pid in range(corpus.NDOCS)},
        docid_metadata_map={f"doc-{number}": {"number": number} for number in range(1, 30)},
        index_name=folder.name,
        overwrite="force_silent_overwrite",
    )
    model.delete_from_index(["doc-17"])
    Path(model.index_path).rename(folder)


def main(tool: str, out: Path) -> None:
    """Build one index and its list of hits."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    os.chdir(out)  # paths in an index are as they are given
    folder = Path(tool)
    if tool == "ragatouille":
        build_ragatouille(folder)
    else:
        nbits = int(tool.rsplit("-", 1)[1])
        build(folder, nbits, chunk=25)
        if nbits == 2:
            remove(folder, [4, 31])
    corpus.write_hits(Path(f"{tool}.json"), scores(folder))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
