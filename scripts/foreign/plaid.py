"""Indexes of PyLate and fast-plaid; runs in their environment (see make_foreign_indexes.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import torch


def search(opened: Any, ndocs: int) -> list[list[tuple[Any, float]]]:
    """Every document, rescored by fast-plaid: all lists are visited, and all documents pass each stage."""
    batch = torch.from_numpy(corpus.queries())
    lists = len(np.load(Path(opened.index) / "ivf_lengths.npy"))
    return opened.search(batch, top_k=ndocs, n_ivf_probe=lists, n_full_scores=100_000)


def build_fast_plaid(folder: Path, frozen: bool) -> None:
    """Most documents at first, the rest as an update, then one is deleted."""
    from fast_plaid import search as engine

    documents = [torch.from_numpy(rows) for rows in corpus.vectors()]
    facts = [
        {"name": f"n{number}", "text": text, "number": number} for number, text in enumerate(corpus.texts())
    ]
    index = engine.FastPlaid(index=str(folder), device="cpu")
    index.create(
        documents_embeddings=documents[:50], nbits=4, metadata=facts[:50], start_from_scratch=0, batch_size=30
    )
    index.update(documents_embeddings=documents[50:], metadata=facts[50:], start_from_scratch=0)
    index.delete([7])
    index = engine.FastPlaid(index=str(folder), device="cpu")
    hits = search(index, corpus.NDOCS)
    if frozen:
        index.freeze()
    corpus.write_hits(folder.with_name(f"{folder.name}.json"), hits)


def build_pylate(folder: Path) -> None:
    """PyLate's index, under ids of its caller; one document is added twice, another removed."""
    from pylate import indexes

    documents = corpus.vectors()
    ids = [f"doc/{number}" for number in range(corpus.NDOCS)]
    index = indexes.PLAID(
        index_folder=str(folder.parent), index_name=folder.name, nbits=2, device="cpu", n_full_scores=100_000
    )
    index.add_documents(documents_ids=ids, documents_embeddings=documents)
    index.remove_documents(["doc/9"])
    index = indexes.PLAID(
        index_folder=str(folder.parent),
        index_name=folder.name,
        device="cpu",
        n_full_scores=100_000,
        n_ivf_probe=len(np.load(folder / "fast_plaid_index" / "ivf_lengths.npy")),
    )
    hits = index(corpus.queries(), k=corpus.NDOCS)
    corpus.write_hits(
        folder.with_name(f"{folder.name}.json"), [[(hit["id"], hit["score"]) for hit in one] for one in hits]
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[2]) / sys.argv[1]
    if sys.argv[1] == "pylate":
        build_pylate(out)
    else:
        build_fast_plaid(out, frozen=sys.argv[1].endswith("frozen"))
