"""What methods are compared on: a corpus, queries, and judgements, which may be made up."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plait.comparison.known_items import KnownItems, known_items
from plait.errors import EmptyCorpus, InvalidParameter, SourceNotFound
from plait.evaluate import Qrels, judged_queries, read_qrels
from plait.sources import STDIN, Documents, read_documents, read_queries
from plait.types import Document


@dataclass(frozen=True)
class JudgedCollection:
    """A corpus with queries and their judgements.

    Attributes:
        name: for titles of tables.
        documents: reads the documents, as they are to be indexed, from the start.
        ndocs: how many there are.
        characters: of their texts.
        digest: of ids and texts; other documents have another one.
        queries: those that are asked: query id -> text.
        qrels: their judgements.
        known: how the queries were made, if there are no judgements.
        notes: what a reader of the figures should know.
    """

    name: str
    documents: Callable[[], Iterable[Document]] = field(repr=False)
    ndocs: int
    characters: int
    digest: str
    queries: dict[str, str] = field(repr=False)
    qrels: Qrels = field(repr=False)
    known: KnownItems | None = None
    notes: tuple[str, ...] = ()


Corpus = str | Path | Iterable[Document]
"""A source that ``read_documents`` reads, or documents."""
Queries = str | Path | Mapping[str, str]
Judgements = str | Path | Qrels


def load_collection(
    corpus: Corpus,
    queries: Queries | None = None,
    qrels: Judgements | None = None,
    *,
    name: str | None = None,
    most_queries: int = 1000,
    made_queries: int = 300,
    seed: int = 0,
    skip_bad_lines: bool = False,
) -> JudgedCollection:
    """Read what methods are to be compared on.

    Args:
        corpus: a source that ``read_documents`` reads, or documents. A folder in BEIR's form has its queries
            and judgements with it.
        queries, qrels: files, or what ``read_queries`` and ``read_qrels`` give. With neither, and no such
            folder, known items are asked (``known_items``).
        name: of the collection; by default that of the source.
        most_queries: of more judged queries so many are chosen at random.
        made_queries: how many known items to ask.
        seed: of these choices.
        skip_bad_lines: leave broken records out.

    Raises:
        InvalidParameter: queries are given without judgements or the other way round, they don't belong
            together, or no relevant document is in the corpus.
        SourceError: a file can't be used.
    """
    documents = _reader(corpus, skip_bad_lines)
    asked, judged = _judged(corpus, queries, qrels)
    known = None
    notes: list[str] = []
    if judged is None or asked is None:
        known = known_items(documents, made_queries, seed)
        asked, judged = known.queries, known.qrels
        documents = _left(documents, known)
    else:
        asked = judged_queries(asked, judged)
        if len(judged) > len(asked):
            notes.append(f"{len(judged) - len(asked):,} judged queries have no text and are left out.")
    if len(asked) > most_queries:
        notes.append(f"{most_queries:,} of {len(asked):,} judged queries, chosen at random, are asked.")
        chosen = set(random.Random(seed).sample(sorted(asked), most_queries))
        asked = {key: text for key, text in asked.items() if key in chosen}
    judged = {key: judged[key] for key in asked}
    survey = _surveyed(documents, judged)
    notes += survey.notes
    title = name or (Path(corpus).name if isinstance(corpus, str | Path) else "documents")
    return JudgedCollection(
        title, documents, survey.ndocs, survey.characters, survey.digest, asked, judged, known, tuple(notes)
    )


def _reader(corpus: Corpus, skip_bad_lines: bool) -> Callable[[], Iterable[Document]]:
    """What can be read several times, as the standard input and iterators can't."""
    if isinstance(corpus, str | Path):
        source = read_documents(corpus, skip_bad_lines=skip_bad_lines)
        if str(corpus) != STDIN:
            return lambda: source
        corpus = source
    held = list(corpus)
    if not held:
        raise EmptyCorpus("there are no documents to compare methods on")
    return lambda: held


def _left(documents: Callable[[], Iterable[Document]], known: KnownItems) -> Callable[[], Iterable[Document]]:
    return lambda: known.left(documents())


def _judged(
    corpus: Corpus, queries: Queries | None, qrels: Judgements | None
) -> tuple[Mapping[str, str] | None, Qrels | None]:
    """Queries and judgements, from where they are; nothing if there are none."""
    if queries is None and isinstance(qrels, str | Path) and Path(qrels).is_dir():
        queries = qrels
    if queries is None and qrels is None and isinstance(corpus, str | Path) and Path(corpus).is_dir():
        try:
            return read_queries(corpus), read_qrels(corpus)
        except SourceNotFound:
            return None, None  # no folder in BEIR's form, or one without judgements
    if (queries is None) != (qrels is None):
        given, missing = ("queries", "judgements (qrels)") if qrels is None else ("judgements", "queries")
        raise InvalidParameter(
            f"{given} without {missing} can't be compared on: give both, or neither to ask known items"
        )
    return (
        read_queries(queries) if isinstance(queries, str | Path) else queries,
        read_qrels(qrels) if isinstance(qrels, str | Path) else qrels,
    )


@dataclass
class _Survey:
    ndocs: int
    characters: int
    digest: str
    notes: list[str]


def _surveyed(documents: Callable[[], Iterable[Document]], judged: Qrels) -> _Survey:
    """Read the corpus once: its size, its digest, and whether judgements belong to it."""
    relevant = {key for grades in judged.values() for key, grade in grades.items() if grade > 0}
    wanted = len(relevant)
    digest = hashlib.blake2b(digest_size=16)
    ndocs = characters = 0
    source = documents()
    for document in source:
        text = document.text or ""
        ndocs += 1
        characters += len(text)
        digest.update(f"{document.id}\0{text}\0".encode("utf-8", "surrogatepass"))
        relevant.discard(document.id)
    if not wanted:
        raise InvalidParameter("no document is judged relevant for any of the queries")
    if len(relevant) == wanted:
        raise InvalidParameter(
            f"none of the {wanted:,} documents judged relevant is in the corpus, for instance "
            f"{min(relevant)!r}: the judgements belong to another one"
        )
    notes = []
    if relevant:
        notes.append(f"{len(relevant):,} of {wanted:,} documents judged relevant are not in the corpus.")
    if isinstance(source, Documents) and source.skipped:
        notes.append(f"{source.skipped:,} broken records were left out; the first: {source.first_skipped}")
    return _Survey(ndocs, characters, digest.hexdigest(), notes)
