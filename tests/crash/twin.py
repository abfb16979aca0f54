"""What an index must hold and answer: a twin in this process, to which the same steps are done in peace."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

import plait
from plait import SearchParams
from plait.store import Catalog
from plait.store import format as layout_of_files
from tests.crash import history
from tests.crash.history import Doc, Model, Step

Answers = list[list[tuple[str, float]]]

#: Words that documents of a history have.
WORDS = "text 1 2 3 7 11 ü"
#: More than an index of a history ever holds.
ALL = 10_000


@dataclass(frozen=True)
class State:
    """Documents, and every document's score for some queries, with and without candidates."""

    model: Model
    answers: Answers


class Twin:
    """An index that nothing happens to. A context manager."""

    def __init__(self, path: Path, layout: dict[str, Any]) -> None:
        history.create(path, layout)
        self._index = history.open_index(path)
        self.state = State({}, answers(self._index))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    def advance(self, step: Step) -> State:
        """Do a step; returns the state after it."""
        with history.small_limits():
            self._index = history.perform(step, self._index)
        self.state = State(history.apply(step, self.state.model), answers(self._index))
        require_documents(self._index, self.state.model)
        require_exact_scores(self._index, self.state)
        return self.state

    def become(self, path: Path) -> None:
        """Be a copy of an index that is in the same state.

        What a killed writer did not come to, such as a merge after its commit, can change what a codec is
        trained on later.
        """
        own = self._index.path
        self._index.close()
        shutil.rmtree(own)
        shutil.copytree(path, own)
        self._index = history.open_index(own)

    def all_states(self, steps: list[Step]) -> list[State]:
        """The state now, and after each of the steps."""
        return [self.state, *(self.advance(step) for step in steps)]


def queries() -> np.ndarray:
    """f32 ``[2, 3, DIM]``."""
    rows = np.random.default_rng(5).normal(size=(2, 3, history.DIM))
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def answers(index: plait.Index) -> Answers:
    """Ids and scores of all documents, and of those that the parts of the index find."""
    found = [
        [(hit.id, hit.score) for hit in index.search(query, ALL, params=SearchParams(scan=scan), threads=1)]
        for query in queries()
        for scan in (True, False)
    ]
    if index.stats().bm25:
        found.append([(hit.id, hit.score) for hit in index.search_bm25(WORDS, ALL)])
    if index.stats().bytes_bi_encoder is not None:
        found.append([(hit.id, hit.score) for hit in index.search_bi_encoder(queries()[0, 0], ALL)])
    return found


def require_documents(index: plait.Index, model: Model) -> None:
    """Exactly these documents are there, with their texts and metadata."""
    assert len(index) == len(model)
    for key, doc in model.items():
        assert index.get(key) == plait.Document(key, doc.text, doc.metadata)


def require_exact_scores(index: plait.Index, state: State) -> None:
    """As long as the index keeps original vectors, scores are those of the documents."""
    if index.stats().centroids:
        return
    asked = np.repeat(queries(), 2, axis=0)
    for query, found in zip(asked, state.answers[: len(asked)], strict=True):
        for key, score in found:
            assert abs(score - _maxsim(query, state.model[key])) < 1e-4


def _maxsim(query: np.ndarray, doc: Doc) -> float:
    return float((query @ doc.vectors.T).max(axis=1).sum())


def require_state(path: Path, allowed: list[State]) -> State:
    """Which of the states the index is in.

    Raises:
        AssertionError: it is in none of them.
        plait.PlaitError: it can't be used.
    """
    with plait.Index.open(path) as index:
        found = answers(index)
        ids = {key for key, _ in found[0]}
        fitting = [state for state in allowed if state.model.keys() == ids and state.answers == found]
        assert fitting, _difference(found, allowed)
        require_documents(index, fitting[-1].model)
        problems = [str(problem) for problem in index.verify() if not problem.harmless]
        assert not problems, problems
    return fitting[-1]


def _difference(found: Answers, allowed: list[State]) -> str:
    ids = {key for key, _ in found[0]}
    for state in allowed:
        if state.model.keys() == ids:
            return f"the right documents, but other answers: {found} instead of {state.answers}"
    wanted = allowed[-1].model.keys()
    return f"{len(ids)} documents; missing {sorted(wanted - ids)[:5]}, too many {sorted(ids - wanted)[:5]}"


def require_swept(path: Path) -> None:
    """After a write no folder is left that the catalog does not list, and nothing else is wrong."""
    with plait.Index.open(path) as index:
        index.delete([])
        assert not index.verify()
    catalog = Catalog.open(path)
    listed = {layout_of_files.segment_path(path, row.segment) for row in catalog.segments()}
    listed |= {
        layout_of_files.codec_path(path, row.codec) for row in catalog.codecs() if row.kind != "float32"
    }
    catalog.close()
    assert set(layout_of_files.data_folders(path)) == listed
