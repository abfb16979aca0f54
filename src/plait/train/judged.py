"""A corpus with queries and judgements, in BEIR's form: what mining, training and evaluation work on."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter
from plait.evaluate import Qrels, write_beir, write_qrels
from plait.sources import read_json_lines
from plait.types import Document


@dataclass(frozen=True, slots=True)
class JudgedCorpus:
    """Documents, queries and judgements.

    Attributes:
        documents: the corpus.
        queries: the text of each query by its id, those to train and those to test.
        qrels: the judgements of "train" and of "test".
    """

    documents: Sequence[Document]
    queries: Mapping[str, str]
    qrels: Mapping[str, Qrels]

    def write(self, folder: str | Path) -> None:
        """Write ``corpus.jsonl``, ``queries.jsonl``, ``qrels/train.tsv`` and ``qrels/test.tsv``."""
        write_beir(folder, self.documents, self.queries, self.qrels["test"])
        write_qrels(Path(folder, "qrels", "train.tsv"), self.qrels["train"])


def normalised(text: str) -> str:
    """The words of a text, lower case, one space between them: equal for texts that say the same words."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def held_out_ids(ids: Sequence[str], held_out: float | int, seed: int) -> set[str]:
    """Choose which are for testing.

    Args:
        ids: of what is parted.
        held_out: how many, or (a float below 1) which share of them.
        seed: of the choice.

    Raises:
        InvalidParameter: nothing would be left on one side.
    """
    wanted = max(1, round(held_out * len(ids))) if isinstance(held_out, float) else held_out
    if not 0 < wanted < len(ids):
        raise InvalidParameter(f"held_out must leave some of {len(ids):,} on both sides, not {held_out!r}")
    return set(random.Random(f"held out {seed}").sample(sorted(ids), wanted))


def read_pairs(source: str | Path) -> list[tuple[str, str]]:
    """Read pairs: JSON lines with ``query`` and ``positive``.

    Raises:
        SourceNotFound, BadRecord: the file is not there, or the line is no pair.
        EmptyCorpus: there is none.
    """
    pairs = []
    for line, record in read_json_lines(source):
        pair = record.get("query"), record.get("positive")
        for name, text in zip(("query", "positive"), pair, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise BadRecord(source, line, f"{name} must be a string that is not empty, not {text!r}")
        pairs.append((str(pair[0]), str(pair[1])))
    if not pairs:
        raise EmptyCorpus(f"{source} holds no pair")
    return pairs


def corpus_of_pairs(
    pairs: Iterable[tuple[str, str]],
    documents: Iterable[Document] = (),
    *,
    held_out: float | int = 0.1,
    seed: int = 0,
) -> JudgedCorpus:
    """Make a judged corpus of (query, positive) pairs.

    The positives are documents, those with the same words one; equal queries are one query with several
    positives. A query and its positives are on one side: what is held out was never a positive in training.

    Args:
        pairs: query and positive.
        documents: further documents, to find negatives in.
        held_out: positives whose queries are for testing: how many, or (a float below 1) which share.
        seed: chooses them.
    """
    texts: dict[str, Document] = {}
    for document in documents:
        texts.setdefault(normalised(document.text or ""), document)
    taken = {document.id for document in texts.values()}
    positives: dict[str, list[str]] = {}
    spellings: dict[str, str] = {}
    for query, positive in pairs:
        words = normalised(positive)
        if words not in texts:
            key = _free_name(f"pair-{len(texts)}", taken)
            texts[words] = Document(key, positive)
        spellings.setdefault(normalised(query), query)
        found = positives.setdefault(normalised(query), [])
        if texts[words].id not in found:
            found.append(texts[words].id)
    queries = {f"q{number}": spellings[words] for number, words in enumerate(positives)}
    rows = {f"q{number}": dict.fromkeys(found, 1) for number, found in enumerate(positives.values())}
    judged = sorted({key for row in rows.values() for key in row})
    test = held_out_ids(judged, held_out, seed)
    qrels: dict[str, dict[str, dict[str, int]]] = {"train": {}, "test": {}}
    for query, row in rows.items():
        if test.issuperset(row):
            qrels["test"][query] = row
        elif test.isdisjoint(row):
            qrels["train"][query] = row  # a query with positives on both sides is for neither
    return JudgedCorpus(list(texts.values()), queries, qrels)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "+"
    taken.add(name)
    return name
