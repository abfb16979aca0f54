"""Random histories of an index, as data: the same steps for an index and for a dictionary."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import plait
from plait.types import Progress, TokenEmbeddings

DIM = 8
THREADS = 1
#: How indexes of the histories are made.
LAYOUTS: list[dict[str, Any]] = [
    {"level": "compact"},
    {"level": "balanced"},
    {"level": "precise"},
    {"nbits": 2},
    {"nbits": 4},
    {"level": "balanced", "bm25": True},
    {"level": "balanced", "bi_encoder": True},
]
#: What an index can be given later.
PARTS = ("bm25", "bi_encoder")


@dataclass(frozen=True)
class Doc:
    """A document whose vectors follow from a number."""

    seed: int
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def vectors(self) -> np.ndarray:
        """f32 ``[1 to 6, DIM]``, of length 1."""
        rng = np.random.default_rng(self.seed)
        rows = rng.normal(size=(int(rng.integers(1, 7)), DIM))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class NumberEncoder:
    """Gives a document's vectors for its text: a text of a history holds the document's number."""

    name = "numbers"
    fingerprint = "numbers"
    dim = DIM

    def encode_documents(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """As they were added."""
        numbers = [int(re.findall(r"\d+", text)[0]) for text in texts]
        return TokenEmbeddings.from_list([Doc(number, "").vectors for number in numbers])

    encode_queries = encode_documents


Model = dict[str, Doc]
Step = dict[str, Any]


def small_limits() -> ExitStack:
    """Codecs, children and new codecs at sizes that a short history reaches."""
    stack = ExitStack()
    for name, value in {
        "plait.store.choice.MIN_CODEC_TOKENS": 60,
        "plait.store.choice.RETRAIN_FACTOR": 3,
        "plait.codec.subdivide.TOKENS_PER_CHILD": 4,
        "plait.store.compaction.SMALLEST_TIER": 20,
        "plait.store.compaction.FACTOR": 4,
    }.items():
        stack.enter_context(mock.patch(name, value))
    return stack


class Abandoned(Exception):
    """Rolls a transaction back."""


#: Kinds of steps, and how often each is done.
STEPS = {
    "add": 8,
    "upsert": 4,
    "update": 2,
    "delete": 3,
    "delete_matching": 2,
    "transaction": 3,
    "compact": 2,
    "retrain": 1,
    "add_part": 1,
    "reopen": 2,
    "nothing": 1,
}
#: What is not done inside of a transaction.
ALONE = ("transaction", "reopen", "compact", "retrain", "add_part")


class Generator:
    """Makes steps that suit a model; the same seed, the same steps."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._fresh = 0
        self._seed = seed

    def steps(self, model: Model, count: int) -> tuple[list[Step], list[Model]]:
        """Steps, and the model after none, one, two ... of them."""
        states, steps = [model], []
        for _ in range(count):
            steps.append(self.step(states[-1]))
            states.append(apply(steps[-1], states[-1]))
        return steps, states

    def step(self, model: Model) -> Step:
        """One change, or a few in one transaction."""
        [name] = self.random.choices(list(STEPS), list(STEPS.values()))
        return getattr(self, f"_{name}")(model)

    def _add(self, model: Model) -> Step:
        many = self.random.random() < 0.2
        count = self.random.randint(10, 30) if many else self.random.randint(1, 6)
        return {"do": "add", "docs": self._docs(count)}

    def _upsert(self, model: Model) -> Step:
        docs = list(self._docs(self.random.randint(1, 6)).items())
        old = self._some(model, 4)
        return {
            "do": "upsert",
            "docs": dict(zip(old, (doc for _, doc in docs), strict=False)) | dict(docs[:1]),
        }

    def _update(self, model: Model) -> Step:
        return {"do": "update", "ids": self._some(model, 5), "metadata": {"n": self.random.randint(0, 9)}}

    def _delete(self, model: Model) -> Step:
        share = self.random.choice([0.02, 0.1, 0.1, 0.1, 0.5, 1.0])
        return {"do": "delete", "ids": [*self._some(model, max(1, int(share * len(model)))), "unknown"]}

    def _delete_matching(self, model: Model) -> Step:
        return {"do": "delete", "filter": {"tag": self.random.choice("abc"), "n": {"$gte": 5}}}

    def _transaction(self, model: Model) -> Step:
        steps = []
        for _ in range(self.random.randint(1, 3)):
            steps.append(self.step(model))
            while steps[-1]["do"] in ALONE:
                steps[-1] = self.step(model)
            model = apply(steps[-1], model)
        return {"do": "transaction", "steps": steps, "fails": self.random.random() < 0.3}

    def _compact(self, model: Model) -> Step:
        return {"do": "compact"}

    def _retrain(self, model: Model) -> Step:
        return {"do": "retrain"}

    def _add_part(self, model: Model) -> Step:
        return {"do": "add_part", "part": self.random.choice(PARTS)}

    def _reopen(self, model: Model) -> Step:
        return {"do": "reopen"}

    def _nothing(self, model: Model) -> Step:
        """A commit without a change."""
        return {"do": "delete", "ids": []}

    def _some(self, model: Model, most: int) -> list[str]:
        return self.random.sample(sorted(model), min(len(model), most))

    def _docs(self, count: int) -> dict[str, list[Any]]:
        docs = {}
        for _ in range(count):
            self._fresh += 1
            number = self._seed * 100_003 + self._fresh
            metadata = self.random.choice([{}, {"n": number % 10, "tag": self.random.choice("abc")}])
            docs[f"d{number}"] = [number, f"text {number}, ü", metadata]
        return docs


def apply(step: Step, model: Model) -> Model:
    """The model after a step; the one given is left as it is."""
    match step:
        case {"do": "add" | "upsert", "docs": docs}:
            return model | {key: Doc(*doc) for key, doc in docs.items()}
        case {"do": "update", "ids": ids, "metadata": metadata}:
            changed = {key: model[key] for key in ids}
            return model | {
                key: replace(doc, metadata=doc.metadata | metadata) for key, doc in changed.items()
            }
        case {"do": "delete", "ids": ids}:
            return {key: doc for key, doc in model.items() if key not in ids}
        case {"do": "delete", "filter": {"tag": tag, "n": {"$gte": least}}}:
            return {key: doc for key, doc in model.items() if not _matches(doc.metadata, tag, least)}
        case {"do": "transaction", "steps": steps, "fails": fails}:
            return model if fails else reduce(lambda state, one: apply(one, state), steps, model)
    return model


def _matches(metadata: dict[str, Any], tag: str, least: int) -> bool:
    return metadata.get("tag") == tag and metadata.get("n", -1) >= least


def perform(step: Step, index: plait.Index) -> plait.Index:
    """Do a step to an index; returns the index to go on with."""
    match step:
        case {"do": "add" | "upsert" as do, "docs": docs}:
            made = {key: Doc(*doc) for key, doc in docs.items()}
            getattr(index, do)(
                ids=list(made),
                vectors=[doc.vectors for doc in made.values()],
                texts=[doc.text for doc in made.values()],
                metadata=[doc.metadata for doc in made.values()],
                threads=THREADS,
            )
        case {"do": "update", "ids": ids, "metadata": metadata}:
            index.update_metadata(ids, metadata)
        case {"do": "delete", "ids": ids}:
            index.delete(ids)
        case {"do": "delete", "filter": conditions}:
            index.delete(filter=conditions)
        case {"do": "transaction", "steps": steps, "fails": fails}:
            with suppress(Abandoned), index.transaction():
                for one in steps:
                    perform(one, index)
                if fails:
                    raise Abandoned
        case {"do": "reopen"}:
            path = index.path
            index.close()
            return open_index(path)
        case _:
            _look_after(step, index)
    return index


def _look_after(step: Step, index: plait.Index) -> None:
    """Steps after which the documents are the same."""
    match step:
        case {"do": "compact"}:
            index.compact(threads=THREADS)
        case {"do": "retrain"}:
            index.compact(retrain=True, threads=THREADS)
        case {"do": "add_part", "part": part}:
            if getattr(index.stats(), f"bytes_{part}") is None:
                getattr(index, f"add_{part}")(threads=THREADS)


def open_index(path: Path) -> plait.Index:
    """An index of a history, with the encoder that its documents' texts are for."""
    return plait.Index.open(path, model=NumberEncoder())


def create(path: Path, layout: dict[str, Any]) -> None:
    """The empty index that a history begins with."""
    plait.Index.create(path, dim=DIM, seed=3, fields={"n": int, "tag": str}, **layout).close()
