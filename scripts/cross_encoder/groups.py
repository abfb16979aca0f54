"""Make the groups that the cross-encoder is trained on: hard negatives, and a teacher's scores.

    python scripts/cross_encoder/groups.py --work work --out cross

``--work`` is where ``scripts/builtin_model/prepare.py`` wrote ``batches.jsonl`` (pairs of a query and a
document, cleaned of what resembles an evaluation set) and ``validation.jsonl`` (held-out queries with a pool
of documents). Written: ``groups.jsonl`` to train on, ``held-out.jsonl`` to look at while training. Steps that
are done are not done again.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plait
from plait.train import Group, Margin, Mining, Source, load_teacher, mine, read_groups, score, write_groups
from plait.train.teachers import IndexTeacher

SEED = 0
# Pairs of each source that are trained on.
TRAINED = {
    "squad": 2600,
    "nq": 1500,
    "medquad": 1200,
    "scitldr": 1200,
    "debian": 400,
    "arxiv-title": 1200,
    "arxiv-sentence": 500,
    "arxiv-keywords": 500,
}
# The answer may stand anywhere in these: longer paragraphs are left out instead of cut.
WHOLE = ("squad", "nq")
WORDS = 90
# All others say at their beginning what they are about.
CROPPED = 70
# Queries of these were cut out of documents, so others may answer them as well: what ColBERT finds better
# than the document is left out.
MADE = ("debian", "arxiv-sentence", "arxiv-keywords")
NEGATIVES = (Source("colbert", 3, (1, 30)), Source("bm25", 1, (1, 30)), Source("random", 1))
# Of the teachers (docs/decisions/0028-trained-model.md).
WEIGHTS = {"colbert": 1.0, "bi_encoder": 4.0, "bm25": 0.4}
# What is looked at while training: queries of each source, and documents of each query.
LOOKED_AT = ("squad", "nq", "medquad", "scitldr", "pubmedqa", "covid-qa", "arxiv-title")
QUERIES = 24
DEPTH = 10


def cropped(text: str, words: int) -> str:
    """The first words of a text."""
    return " ".join(text.split()[:words])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_pairs(work: Path) -> dict[str, list[tuple[str, str]]]:
    """The (query, document) pairs of each source that are trained on."""
    found: dict[str, dict[tuple[str, str], None]] = {name: {} for name in TRAINED}
    for batch in read_lines(work / "batches.jsonl"):
        name = batch["source"]
        if name not in TRAINED:
            continue
        for query, document in zip(batch["queries"], batch["documents"], strict=True):
            if name in WHOLE and len(document.split()) > WORDS:
                continue
            text = document if name in WHOLE else cropped(document, CROPPED)
            found[name][query, text] = None
    chosen = {}
    for name, pairs in found.items():
        shuffled = list(pairs)
        random.Random(f"{SEED} {name}").shuffle(shuffled)
        chosen[name] = shuffled[: TRAINED[name]]
    return chosen


def make_source(name: str, pairs: list[tuple[str, str]], folder: Path, threads: int) -> Path:
    """Index the documents of a source, mine negatives, and let the teachers score the groups."""
    scored = folder / "scored.jsonl"
    if scored.exists():
        return scored
    folder.mkdir(parents=True, exist_ok=True)
    ids = {text: f"d{place}" for place, text in enumerate(dict.fromkeys(text for _, text in pairs))}
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    keys: dict[str, str] = {}
    for query, text in pairs:
        key = keys.setdefault(query, f"q{len(keys)}")
        queries[key] = query
        qrels.setdefault(key, {})[ids[text]] = 1
    if (folder / "index").exists():
        index = plait.Index.open(folder / "index")
    else:
        index = plait.Index.create(folder / "index")
        index.add(list(ids), ids=list(ids.values()), threads=threads)
    mined = folder / "mined.jsonl"
    if not mined.exists():
        margin = Margin(relative=1.0) if name in MADE else Margin()
        how = Mining(sources=NEGATIVES, margin=margin, positives=1, seed=SEED)
        print(name, mine(index, queries, qrels, mined, how, threads=threads), flush=True)
    report = score(
        mined,
        scored,
        [IndexTeacher(index, retriever) for retriever in WEIGHTS],
        weights=list(WEIGHTS.values()),
        normalise="none",
        cache=folder / "scores.sqlite",
    )
    print(name, report, flush=True)
    return scored


def held_out(work: Path) -> Iterator[Group]:
    """For each query what ColBERT finds in the pool of its source, the answer first."""
    for pool in read_lines(work / "validation.jsonl"):
        if pool["source"] not in LOOKED_AT:
            continue
        teacher = load_teacher("colbert", 2)
        for query, relevant in list(zip(pool["queries"], pool["relevant"], strict=True))[:QUERIES]:
            scores = teacher.score_pairs([(query, text) for text in pool["documents"]])
            best = [row for row in (-scores).argsort(kind="stable") if row != relevant][: DEPTH - 1]
            rows = [relevant, *best]
            texts = tuple(cropped(pool["documents"][row], WORDS) for row in rows)
            if len(set(texts)) == len(texts):
                yield Group(query, texts, tuple(float(scores[row]) for row in rows), pool["source"])


def main() -> None:
    """Groups of every source, in one order."""
    parser = argparse.ArgumentParser(description="Make the groups to train a cross-encoder on.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    groups = []
    for name, pairs in read_pairs(options.work).items():
        groups += read_groups(make_source(name, pairs, options.out / name, options.threads))
    random.Random(SEED).shuffle(groups)
    print(write_groups(options.out / "groups.jsonl", groups), "groups", flush=True)
    print(write_groups(options.out / "held-out.jsonl", held_out(options.work)), "held out", flush=True)


if __name__ == "__main__":
    main()
