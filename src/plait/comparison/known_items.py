"""Queries without judges: parts of documents, each of which has its document as the only answer.

Titles are asked for the rest of their documents (known-item search: Azzopardi, de Rijke & Balog, SIGIR 2007).
Where there are no titles, a sentence is taken out of a document and asked for what is left of it (the inverse
cloze task: Lee, Chang & Toutanova, ACL 2019).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from plait.errors import InvalidParameter
from plait.types import Document

#: Words that a query has.
SHORTEST, LONGEST = 4, 40
#: Words that must be left of the document.
LEAST_REST = 5
#: Share of the documents that need a title for titles to be asked.
TITLED = 0.5

LIMITS = (
    "These figures come from made-up queries, not from judgements. A query is in its document's own words, "
    "which flatters methods that match words, BM25 above all; nobody asks like that; and other documents "
    "that would answer it count as wrong. They show what a faster method loses against a slower one of the "
    "same kind, and latency, size and build times are real. They do not show which method answers your users "
    "best: judge some of their queries for that."
)

_Documents: TypeAlias = Callable[[], Iterable[Document]]


@dataclass(frozen=True)
class KnownItems:
    """Queries made of a corpus.

    Attributes:
        kind: "titles" or "sentences".
        queries: query id -> text.
        qrels: query id -> the one document, with grade 1.
        taken: document id -> the part that is not to be indexed; of titles, that of every document.
    """

    kind: str
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    taken: dict[str, str] = field(repr=False)

    @property
    def explanation(self) -> str:
        """What was done, in one sentence."""
        part = {
            "titles": "the title of a document; titles are left out of what is indexed",
            "sentences": "a sentence, which is taken out of its document",
        }[self.kind]
        return f"There are no judgements: {len(self.queries):,} known-item queries were made, each {part}."

    def left(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents as they are to be indexed."""
        for document in documents:
            part = self.taken.get(document.id)
            if part is None:
                yield document
                continue
            text = _without(document.text or "", part) or (document.text or "")
            metadata = document.metadata
            if self.kind == "titles":
                metadata = {name: value for name, value in metadata.items() if name != "title"}
            yield Document(document.id, text, metadata)


def known_items(documents: _Documents, count: int = 300, seed: int = 0) -> KnownItems:
    """Make queries of a corpus.

    Args:
        documents: gives the corpus each time it is called; it is read four times at most.
        count: queries wanted; there are fewer if fewer documents are fit for it.
        seed: of the choice.

    Raises:
        InvalidParameter: no document has a title, or a sentence, that could be asked for the rest.
    """
    if count < 1:
        raise InvalidParameter(f"the number of known items must be at least 1, not {count}")
    titled, total = 0, 0
    titles: Counter[str] = Counter()
    for document in documents():
        total += 1
        title = _title(document)
        titled += title is not None
        if title is not None:
            titles[_folded(title)] += 1
    rng = random.Random(seed)
    made = None
    if titled >= TITLED * total:
        made = _titles(documents, titles, count, rng)
    made = made or _sentences(documents, count, rng)
    if made is None:
        raise InvalidParameter(
            f"no queries can be made of this corpus: no title, and no sentence, of {SHORTEST} to {LONGEST} "
            f"words that is in one document only and leaves {LEAST_REST} words of it; give queries and qrels"
        )
    return made


def _titles(documents: _Documents, seen: Counter[str], count: int, rng: random.Random) -> KnownItems | None:
    taken: dict[str, str] = {}
    fit: list[str] = []
    for document in documents():
        title = _title(document)
        if title is None:
            continue
        rest = _without(document.text or "", title)
        if not rest:
            continue  # a document of a title alone is kept as it is
        taken[document.id] = title
        if seen[_folded(title)] == 1 and _is_query(title) and len(rest.split()) >= LEAST_REST:
            fit.append(document.id)
    chosen = _chosen(fit, count, rng)
    return _made("titles", {key: taken[key] for key in chosen}, taken) if chosen else None


def _sentences(documents: _Documents, count: int, rng: random.Random) -> KnownItems | None:
    seen: Counter[int] = Counter()
    for document in documents():
        seen.update({hash(_folded(sentence)) for sentence in _split(document.text or "")})
    found: dict[str, str] = {}
    for document in documents():
        text = document.text or ""
        fit = [
            sentence
            for sentence in _split(text)
            if seen[hash(_folded(sentence))] == 1
            and _is_query(sentence)
            and len(_without(text, sentence).split()) >= LEAST_REST
        ]
        if fit:
            found[document.id] = rng.choice(fit)
    taken = {key: found[key] for key in _chosen(list(found), count, rng)}
    return _made("sentences", taken, taken) if taken else None


def _made(kind: str, asked: dict[str, str], taken: dict[str, str]) -> KnownItems:
    queries = {f"known-{number}": " ".join(text.split()) for number, text in enumerate(asked.values(), 1)}
    qrels = {query: {key: 1} for query, key in zip(queries, asked, strict=True)}
    return KnownItems(kind, queries, qrels, taken)


def _chosen(fit: list[str], count: int, rng: random.Random) -> list[str]:
    """Some of them, in their own order."""
    chosen = set(rng.sample(fit, min(count, len(fit))))
    return [key for key in fit if key in chosen]


def _title(document: Document) -> str | None:
    """The title, if the text begins with it as ``read_documents`` makes it."""
    title = document.metadata.get("title")
    if isinstance(title, str) and title.strip() and (document.text or "").startswith(title):
        return title
    return None


def _split(text: str) -> list[str]:
    """Sentences, roughly: they end with a full stop, question or exclamation mark, or a line's end."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def _without(text: str, part: str) -> str:
    """The text without the first place where the part stands."""
    before, _, after = text.partition(part)
    return " ".join(piece for piece in (before.rstrip(), after.lstrip()) if piece)


def _is_query(text: str) -> bool:
    return SHORTEST <= len(text.split()) <= LONGEST


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
