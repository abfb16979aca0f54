"""Mining: queries with known positives -> groups with hard negatives, found by plait's own retrievers.

A negative is a document that a retriever finds for the query and that does not answer it. Taken from the very
top, many do answer it and nobody said so (Qu et al. 2021, RocketQA, section 4.2: 70% of the top of MS
MARCO's). So a window of ranks is used, and what looks like an answer is dropped (``Mining``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plait.errors import EmptyCorpus, InvalidParameter
from plait.evaluate import Qrels
from plait.index import Index
from plait.train.false_negatives import Suspicion
from plait.train.groups import Group, write_groups
from plait.train.hashing import hash_of
from plait.train.journal import Journal
from plait.train.negatives import RANDOM, Choice, Corpus, Mining
from plait.train.retrieval import rank, require_retriever
from plait.train.teachers import Teacher
from plait.types import Hit, Progress

#: Queries searched together, and written down together.
BATCH = 64


@dataclass(frozen=True, slots=True)
class MiningReport:
    """What mining found.

    Attributes:
        queries: that were mined for.
        groups: that were written.
        negatives: how many each source gave; "fill" are random ones in empty places.
        looked_at: candidates examined.
        dropped: of these, how many were left out, by reason.
        missing: positives that are not in the index; no group is made for them.
        short: groups with fewer negatives than asked for.
    """

    queries: int
    groups: int
    negatives: dict[str, int]
    looked_at: int
    dropped: dict[str, int]
    missing: int
    short: int


def mine(
    index: Index,
    queries: Mapping[str, str],
    qrels: Qrels,
    output: str | Path,
    mining: Mining | None = None,
    *,
    judge: Teacher | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> MiningReport:
    """Find hard negatives and write a file of groups.

    A run that was killed is gone on with by the same call, and the file is the same, byte for byte. What is
    chosen for a query depends on the seed and on that query alone.

    Args:
        index: of the corpus, with texts.
        queries: the text of each query by its id.
        qrels: the positives of each: query id -> document id -> grade; those of 1 and more. Queries without
            any are left out.
        output: the file of groups to make.
        mining: how.
        judge: a teacher whose scores decide about margins, instead of the retriever's own.
        threads: None for all cores.
        progress: called with "mine", how many queries are done, and how many there are.

    Raises:
        InvalidParameter: something is at ``output`` already, or a run with other settings left its remains.
        EmptyCorpus: no query has a positive.
    """
    output = Path(output)
    if output.exists():
        raise InvalidParameter(f"{output} exists already; give a new file")
    miner = _Miner(index, mining or Mining(), judge, threads)
    asked = _with_positives(queries, qrels)
    work = hash_of(miner.identity(), [[key, queries[key], found] for key, found in asked.items()])
    remains = output.with_name(f"{output.name}.part.jsonl")
    with Journal(remains, work) as journal:
        left = list(asked.items())[journal.done :]
        for start in range(0, len(left), BATCH):
            batch = left[start : start + BATCH]
            journal.append(miner.mine([(key, queries[key], found) for key, found in batch]))
            if progress:
                progress("mine", journal.done, len(asked))
        report = _report(journal.results(), len(asked))
        if not report.groups:
            raise EmptyCorpus(
                "no positive is in the index: are the ids of the judgements those of the index?"
            )
        write_groups(output, _groups(journal.results()))
    remains.unlink()
    return report


def _with_positives(queries: Mapping[str, str], qrels: Qrels) -> dict[str, list[str]]:
    found = {
        key: [document for document, grade in qrels[key].items() if grade >= 1]
        for key in queries
        if key in qrels
    }
    found = {key: positives for key, positives in found.items() if positives}
    if not found:
        raise EmptyCorpus("no query has a positive: do the queries and the judgements belong together?")
    return found


class _Miner:
    """Mines one batch of queries at a time."""

    def __init__(self, index: Index, mining: Mining, judge: Teacher | None, threads: int | None) -> None:
        self.index = index
        self.mining = mining
        self.threads = threads
        for source in mining.sources:
            if source.name != RANDOM:
                require_retriever(index, source.name)
        contents = [(document.id, document.text) for document in index.documents()]
        self.corpus = Corpus(index, [key for key, _ in contents], judge)
        encoder = index.encoder
        self._content = hash_of(contents, encoder.fingerprint if encoder else None)

    def identity(self) -> list[Any]:
        """Everything that the result depends on, but the queries."""
        judge = self.corpus.judge.fingerprint if self.corpus.judge else None
        return ["mining 1", asdict(self.mining), self._content, judge]

    def mine(self, asked: Sequence[tuple[str, str, list[str]]]) -> list[dict[str, Any]]:
        """A record for each (id, query, positives): its groups and its counts."""
        texts = [query for _, query, _ in asked]
        rankings = {
            source.name: rank(self.index, source.name, texts, source.ranks[1], self.threads)
            for source in self.mining.sources
            if source.name != RANDOM
        }
        records = []
        for place, (key, query, positives) in enumerate(asked):
            found = {name: hits[place] for name, hits in rankings.items()}
            records.append(self._mine_query(key, query, positives, found))
        return records

    def _mine_query(
        self, key: str, query: str, positives: list[str], rankings: Mapping[str, list[Hit]]
    ) -> dict[str, Any]:
        stored = {one.id: one for one in self.index.get(positives) if one is not None and one.text}
        counts: Counter[str] = Counter({"missing": len(positives) - len(stored)})
        groups = []
        texts = [one.text or "" for one in stored.values()]
        for positive in list(stored.values())[: self.mining.positives]:
            suspicion = Suspicion(query, positives, texts, self.mining.near_duplicate)
            choice = Choice(self.corpus, self.mining, key, query, positive, suspicion, counts)
            groups.append(choice.group(rankings))
        return {
            "groups": [{"query": group.query, "documents": group.documents, "id": group.id,
                        "sources": group.sources} for group in groups],
            "counts": counts,
        }  # fmt: skip


def _groups(records: Iterator[dict[str, Any]]) -> Iterator[Group]:
    for record in records:
        for group in record["groups"]:
            yield Group(group["query"], tuple(group["documents"]), None, group["id"], tuple(group["sources"]))


def _report(records: Iterator[dict[str, Any]], queries: int) -> MiningReport:
    counts: Counter[str] = Counter()
    groups = 0
    for record in records:
        groups += len(record["groups"])
        counts.update(record["counts"])
    return MiningReport(
        queries,
        groups,
        negatives=_named(counts, "from "),
        looked_at=counts["looked at"],
        dropped=_named(counts, "dropped "),
        missing=counts["missing"],
        short=counts["short"],
    )


def _named(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count for name, count in sorted(counts.items()) if name.startswith(prefix)
    }
