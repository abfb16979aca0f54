"""Queries made of the documents themselves, for those who have documents and no labels.

Three kinds, each of real text, none written by a model:

========  ===============================================  =====================================
kind      the query                                        the document that answers it
========  ===============================================  =====================================
title     the document's title                             the document without its title
heading   a Markdown heading                               the section under it, without it
sentence  a run of words of one sentence                   the document without that sentence
========  ===============================================  =====================================

"sentence" is the inverse cloze task (Lee, Chang and Toutanova 2019, section 4): finding a text by a sentence
that was cut out of it can't be done by comparing words alone. There, the sentence stays in the text for a
tenth of the queries, so that words that match are learned too; so it does here (``keep``).

What a query was made of is taken out of the corpus, not only of the training pair: otherwise the documents of
held-out queries would be found by their own words.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from plait.errors import EmptyCorpus, InvalidParameter
from plait.train.judged import JudgedCorpus, held_out_ids, normalised
from plait.types import Document

KINDS = ("title", "heading", "sentence")
#: Words of a query made of a sentence: fewer say too little, more are no query that people ask.
FEWEST_WORDS, MOST_WORDS = 5, 16
#: A sentence is cut only out of a text that has so many.
FEWEST_SENTENCES = 3
#: Words that must be left of a document.
FEWEST_LEFT = 8

_FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "for",
        "from",
        "had",
        "has",
        "have",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "more",
        "not",
        "of",
        "on",
        "or",
        "our",
        "over",
        "such",
        "than",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "under",
        "was",
        "we",
        "were",
        "when",
        "which",
        "while",
        "who",
        "will",
        "with",
        "would",
    ]
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Generation:
    """How queries are made.

    Attributes:
        kinds: which; in this order until a document has enough.
        per_document: queries of a document, or of a section of it, at most.
        keep: share of the sentences that stay in their document; never of held-out ones.
        held_out: documents whose queries are for testing: how many, or (a float below 1) which share.
        seed: of every choice.
    """

    kinds: Sequence[str] = KINDS
    per_document: int = 2
    keep: float = 0.1
    held_out: float | int = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise InvalidParameter for what can't be meant."""
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise InvalidParameter(f"kinds must be some of {', '.join(KINDS)}, not {list(self.kinds)!r}")
        if self.per_document < 1:
            raise InvalidParameter(f"per_document must be at least 1, not {self.per_document}")
        if self.held_out <= 0:
            raise InvalidParameter(f"held_out must be above 0, not {self.held_out}")
        if not 0 <= self.keep <= 1:
            raise InvalidParameter(f"keep must be a share from 0 to 1, not {self.keep}")


@dataclass(slots=True)
class _Passage:
    """A text on its way into the corpus, and the queries that it answers."""

    id: str
    text: str
    queries: list[tuple[str, str]] = field(default_factory=list)  # (kind, text)


def generate_queries(
    documents: Iterable[Document], generation: Generation | None = None
) -> tuple[JudgedCorpus, dict[str, int]]:
    """Make a corpus with queries and judgements of documents without any.

    Args:
        documents: each with a text; a title is expected in ``metadata["title"]`` and at the beginning of the
            text, as ``sources.read_documents`` gives it.
        generation: how.

    Returns:
        The corpus, with queries to train and, of other documents, to test; and counts: "documents",
        "passages", "title", "heading" and "sentence" queries, "ambiguous" ones left out because two passages
        have them, and passages "without a query".

    Raises:
        EmptyCorpus: there is no document, or no query can be made.
        InvalidParameter: ``held_out`` leaves no document on one side.
    """
    how = generation or Generation()
    given = list(documents)
    if not given:
        raise EmptyCorpus("there are no documents to make queries of")
    held_out = held_out_ids([document.id for document in given], how.held_out, how.seed)
    passages: list[tuple[_Passage, bool]] = []
    for document in given:
        test = document.id in held_out
        rng = random.Random(f"{how.seed} {document.id}")
        passages += [(passage, test) for passage in _passages(document, how, rng, 0.0 if test else how.keep)]
    counts = _count(given, [passage for passage, _ in passages])
    corpus = _judged(passages, _ambiguous(passage for passage, _ in passages))
    if not corpus.qrels["train"] or not corpus.qrels["test"]:
        raise EmptyCorpus(
            f"too few queries can be made of these {len(given):,} documents: they need a title, headings or "
            f"at least {FEWEST_SENTENCES} sentences each"
        )
    return corpus, counts


def _passages(document: Document, how: Generation, rng: random.Random, keep: float) -> list[_Passage]:
    text = document.text or ""
    title = str(document.metadata.get("title") or "").strip()
    passage = _Passage(document.id, text)
    if title and "title" in how.kinds and _is_query(title, fewest=2):
        rest = text.strip().removeprefix(title).strip()
        if len(rest.split()) >= FEWEST_LEFT:
            passage.text = rest
            passage.queries.append(("title", title))
    found = _sections(passage) if "heading" in how.kinds else [passage]
    if "sentence" in how.kinds:
        for each in found:
            _cut_sentences(each, how.per_document - len(each.queries), rng, keep)
    for each in found:
        del each.queries[how.per_document :]
    return found


def _sections(passage: _Passage) -> list[_Passage]:
    """A section for each heading, and what stands before the first; the passage itself without headings."""
    marks = [mark for mark in _HEADING.finditer(passage.text) if _is_query(mark[1], fewest=2)]
    if not marks:
        return [passage]
    before = passage.text[: marks[0].start()].strip()
    found = []
    if len(before.split()) >= FEWEST_LEFT or passage.queries:
        found.append(_Passage(passage.id, before or passage.text, list(passage.queries)))
    ends = [mark.start() for mark in marks[1:]] + [len(passage.text)]
    for number, (mark, end) in enumerate(zip(marks, ends, strict=True), start=1):
        body = passage.text[mark.end() : end].strip()
        if len(body.split()) >= FEWEST_LEFT:
            found.append(_Passage(f"{passage.id}#{number}", body, [("heading", mark[1])]))
    return found or [passage]


def _cut_sentences(passage: _Passage, wanted: int, rng: random.Random, keep: float) -> None:
    """Cut up to ``wanted`` sentences out of the passage and make queries of them."""
    sentences = [part for part in _SENTENCE_END.split(passage.text) if part.strip()]
    places = [place for place, sentence in enumerate(sentences) if _is_query(sentence, fewest=FEWEST_WORDS)]
    rng.shuffle(places)
    removed: set[int] = set()
    for place in places[: max(0, wanted)]:
        left = [one for number, one in enumerate(sentences) if number not in removed and number != place]
        if len(sentences) - len(removed) < FEWEST_SENTENCES or len(" ".join(left).split()) < FEWEST_LEFT:
            break
        passage.queries.append(("sentence", _crop(sentences[place], rng)))
        if rng.random() >= keep:
            removed.add(place)
    if removed:
        passage.text = " ".join(one for number, one in enumerate(sentences) if number not in removed)


def _crop(sentence: str, rng: random.Random) -> str:
    """A run of words of the sentence; people do not ask in whole sentences of a text."""
    words = sentence.split()
    length = min(len(words), rng.randint(FEWEST_WORDS, MOST_WORDS))
    start = rng.randint(0, len(words) - length)
    stop = start + length
    while start > 0 and _says_little(words[start]):
        start -= 1
    while stop < len(words) and _says_little(words[stop - 1]):
        stop += 1
    return " ".join(words[start:stop]).strip(" .,;:!?")


def _says_little(word: str) -> bool:
    """Whether a phrase is cut in the middle at such a word."""
    return normalised(word) in _FUNCTION_WORDS or not normalised(word)


def _is_query(text: str, fewest: int) -> bool:
    return len(normalised(text).split()) >= fewest


def _ambiguous(passages: Iterable[_Passage]) -> set[str]:
    """Queries, normalised, that more than one passage has: none of these is the answer."""
    counts = Counter(normalised(text) for passage in passages for _, text in passage.queries)
    return {text for text, count in counts.items() if count > 1}


def _judged(passages: list[tuple[_Passage, bool]], ambiguous: set[str]) -> JudgedCorpus:
    documents = [Document(passage.id, passage.text) for passage, _ in passages]
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, dict[str, int]]] = {"train": {}, "test": {}}
    for passage, test in passages:
        for number, (kind, text) in enumerate(passage.queries, start=1):
            if normalised(text) not in ambiguous:
                key = f"{passage.id}/{kind}-{number}"
                queries[key] = text
                qrels["test" if test else "train"][key] = {passage.id: 1}
    return JudgedCorpus(documents, queries, qrels)


def _count(documents: Sequence[Document], passages: Sequence[_Passage]) -> dict[str, int]:
    ambiguous = _ambiguous(passages)
    counts = {"documents": len(documents), "passages": len(passages), **dict.fromkeys(KINDS, 0)}
    counts |= {"ambiguous": 0, "without a query": 0}
    for passage in passages:
        used = 0
        for kind, text in passage.queries:
            reason = "ambiguous" if normalised(text) in ambiguous else kind
            used += reason == kind
            counts[reason] += 1
        counts["without a query"] += not used
    return counts
