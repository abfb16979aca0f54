"""Random histories of an index, as data: the same steps for an index and for a dictionary."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import plait

DIM = 8
THREADS = 1
#: How indexes of the histories are made.
LAYOUTS: list[dict[str, Any]] = [
    {"level": "compact"},
    {"level": "balanced"},
    {"level": "precise"},
    {"nbits": 2},
    {"nbits": 4},
]


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


Model = dict[str, Doc]
Step = dict[str, Any]


def small_limits() -> ExitStack:
    """Codecs, children and new codecs at sizes that a short history reaches."""
    stack = ExitStack()
    for name, value in {
        "plait.store.choice.MIN_CODEC_TOKENS": 60,
        "plait.store.choice.RETRAIN_FACTOR": 3,
        "plait.codec.subdivide.TOKENS_PER_CHILD": 4,
    }.items():
        stack.enter_context(mock.patch(name, value))
    return stack


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
        """One change."""
        names = ["add"] * 4 + ["delete"] * 2 + ["reopen", "nothing"]
        name = self.random.choice(names)
        return getattr(self, f"_{name}")(model)

    def _add(self, model: Model) -> Step:
        many = self.random.random() < 0.2
        return {
            "do": "add",
            "docs": self._docs(self.random.randint(10, 30) if many else self.random.randint(1, 6)),
        }

    def _docs(self, count: int) -> dict[str, list[Any]]:
        docs = {}
        for _ in range(count):
            self._fresh += 1
            number = self._seed * 100_003 + self._fresh
            metadata = self.random.choice([{}, {"n": number % 10, "tag": self.random.choice("abc")}])
            docs[f"d{number}"] = [number, f"text {number}, ü", metadata]
        return docs

    def _delete(self, model: Model) -> Step:
        share = self.random.choice([0.02, 0.1, 0.5, 1.0] if self.random.random() < 0.5 else [0.1])
        ids = self.random.sample(sorted(model), min(len(model), max(1, int(share * len(model)))))
        return {"do": "delete", "ids": [*ids, "unknown"]}

    def _reopen(self, model: Model) -> Step:
        return {"do": "reopen"}

    def _nothing(self, model: Model) -> Step:
        """A commit without a change."""
        return {"do": "delete", "ids": []}


def apply(step: Step, model: Model) -> Model:
    """The model after a step; the one given is left as it is."""
    if step["do"] == "add":
        return model | {key: Doc(*doc) for key, doc in step["docs"].items()}
    if step["do"] == "delete":
        return {key: doc for key, doc in model.items() if key not in step["ids"]}
    return model


def perform(step: Step, index: plait.Index) -> plait.Index:
    """Do a step to an index; returns the index to go on with."""
    if step["do"] == "add":
        docs = {key: Doc(*doc) for key, doc in step["docs"].items()}
        index.add(
            ids=list(docs),
            vectors=[doc.vectors for doc in docs.values()],
            texts=[doc.text for doc in docs.values()],
            metadata=[doc.metadata for doc in docs.values()],
            threads=THREADS,
        )
    elif step["do"] == "delete":
        index.delete(step["ids"])
    elif step["do"] == "reopen":
        path = index.path
        index.close()
        return plait.Index.open(path)
    return index


def create(path: Path, layout: dict[str, Any]) -> None:
    """The empty index that a history begins with."""
    plait.Index.create(path, dim=DIM, seed=3, **layout).close()
