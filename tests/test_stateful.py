"""An index against a dictionary, over long random histories, with a second process that reads along."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import plait
from plait.analysis import Analyzer
from tests.crash import history
from tests.crash.history import Doc, Model

ROOT = Path(__file__).parents[1]
KEYS = st.sampled_from([f"k{number}" for number in range(12)])
DOCS = st.builds(
    Doc,
    seed=st.integers(0, 1 << 20),
    text=st.text(alphabet=st.characters(codec="utf-8"), max_size=8),
    metadata=st.fixed_dictionaries({}, optional={"n": st.integers(0, 9), "tag": st.sampled_from("abc")}),
)
SOME = st.dictionaries(KEYS, DOCS, min_size=1, max_size=6)

READER = """
import json, sys, plait
index = plait.Index.open(sys.argv[1])
for line in sys.stdin:
    documents = {document.id: [document.text, document.metadata] for document in index.documents()}
    print(json.dumps([len(index), documents]), flush=True)
"""


class IndexMachine(RuleBasedStateMachine):
    """Every rule changes the index and the dictionary alike."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = history.small_limits()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "index"
        self.model: Model = {}

    @initialize(layout=st.sampled_from(history.LAYOUTS))
    def create(self, layout: dict[str, Any]) -> None:
        history.create(self.path, layout)
        self.index = plait.Index.open(self.path)
        self.reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, step: history.Step) -> None:
        self.index = history.perform(step, self.index)
        self.model = history.apply(step, self.model)

    @rule(docs=SOME)
    def add(self, docs: Model) -> None:
        step = {"do": "add", "docs": as_step(docs)}
        if docs.keys() & self.model.keys():
            with pytest.raises(plait.errors.DuplicateId):
                history.perform(step, self.index)
        else:
            self.do(step)

    @rule(docs=SOME)
    def upsert(self, docs: Model) -> None:
        self.do({"do": "upsert", "docs": as_step(docs)})

    @rule(count=st.integers(20, 40), seed=st.integers(0, 99))
    def add_many(self, count: int, seed: int) -> None:
        docs = {f"m{seed}-{number}": Doc(seed * 1000 + number, "", {"n": 1}) for number in range(count)}
        self.do({"do": "upsert", "docs": as_step(docs)})

    @rule(ids=st.lists(KEYS, max_size=5))
    def delete(self, ids: list[str]) -> None:
        self.do({"do": "delete", "ids": ids})

    @rule(tag=st.sampled_from("abc"), least=st.integers(0, 9))
    def delete_matching(self, tag: str, least: int) -> None:
        self.do({"do": "delete", "filter": {"tag": tag, "n": {"$gte": least}}})

    @precondition(lambda self: self.model)
    @rule(data=st.data(), n=st.integers(0, 9))
    def update_metadata(self, data: st.DataObject, n: int) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1, max_size=4, unique=True))
        self.do({"do": "update", "ids": ids, "metadata": {"n": n}})

    @rule(docs=SOME, ids=st.lists(KEYS, max_size=3), fails=st.booleans())
    def transaction(self, docs: Model, ids: list[str], fails: bool) -> None:
        steps = [{"do": "delete", "ids": ids}, {"do": "upsert", "docs": as_step(docs)}]
        self.do({"do": "transaction", "steps": steps, "fails": fails})

    @rule()
    def compact(self) -> None:
        self.do({"do": "compact"})
        assert not self.index.verify()

    @rule()
    def reopen(self) -> None:
        self.do({"do": "reopen"})

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "index"):
            return
        wanted = {key: (doc.text, doc.metadata) for key, doc in self.model.items()}
        found = {document.id: (document.text, document.metadata) for document in self.index.documents()}
        assert found == wanted
        hits = self.index.search(Doc(1, "").vectors, 1000, threads=1)
        assert {hit.id for hit in hits} == wanted.keys()
        assert len(hits) == len(self.index) == len(wanted)
        best = self.index.search(Doc(1, "").vectors, 5, threads=1)
        assert [tuple(hit)[:3] for hit in best] == [tuple(hit)[:3] for hit in hits[:5]]
        if self.index.stats().bm25:
            found = self.index.search_bm25("0 1 a A ß", 1000)
            terms = Analyzer(plait.BM25()).terms
            assert {hit.id for hit in found} == {
                key for key, (text, _) in wanted.items() if {*terms(text or "")} & {*terms("0 1 a A ß")}
            }
        low = self.index.search(Doc(1, "").vectors, 1000, filter={"n": {"$lt": 5}}, threads=1)
        assert {hit.id for hit in low} == {key for key, (_, data) in wanted.items() if data.get("n", 9) < 5}

    @rule()
    def ask_the_other_process(self) -> None:
        assert self.reader.stdin
        assert self.reader.stdout
        self.reader.stdin.write("\n")
        self.reader.stdin.flush()
        count, documents = json.loads(self.reader.stdout.readline())
        assert count == len(self.model)
        assert documents == {key: [doc.text, doc.metadata] for key, doc in self.model.items()}

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            self.reader.communicate()
        self.limits.close()
        self.folder.cleanup()


def as_step(docs: Model) -> dict[str, list[Any]]:
    """Documents as steps of a history have them."""
    return {key: [doc.seed, doc.text, doc.metadata] for key, doc in docs.items()}


COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}


class TestShort(IndexMachine.TestCase):
    settings = settings(max_examples=4, stateful_step_count=15, **COMMON)


@pytest.mark.slow
class TestLong(IndexMachine.TestCase):
    settings = settings(max_examples=25, stateful_step_count=60, **COMMON)
