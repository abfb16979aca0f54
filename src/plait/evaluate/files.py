"""Evaluation files: judgements and runs of TREC, folders of BEIR, values of queries; in and out."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter, SourceError, SourceNotFound
from plait.evaluate.metrics import Qrels, Run
from plait.sources import read_lines
from plait.types import Document, Hit


def run_of(query_ids: Iterable[str], hits: Iterable[Iterable[Hit]]) -> dict[str, dict[str, float]]:
    """Make a run of what ``Index.search_all`` or ``Pipeline.search_all`` gave for these queries.

    A run is sorted by its scores. Where those of the hits rise, as behind a reranker that was stopped, there
    are reciprocal ranks instead, which keep the order.
    """
    return {
        query: dict(zip((hit.id for hit in found), _falling(found), strict=True))
        for query, found in zip(query_ids, map(list, hits), strict=True)
    }


def _falling(hits: list[Hit]) -> list[float]:
    scores = [float(hit.score) for hit in hits]
    if all(one >= two for one, two in pairwise(scores)):
        return scores
    return [1 / rank for rank in range(1, len(scores) + 1)]


def judged_queries(queries: Mapping[str, str], qrels: Qrels) -> dict[str, str]:
    """Choose the queries that have judgements.

    Raises:
        InvalidParameter: none has, so that the two can't belong together.
    """
    judged = {query: text for query, text in queries.items() if query in qrels}
    if not judged:
        given, wanted = next(iter(queries), None), next(iter(qrels), None)
        raise InvalidParameter(
            f"no query has judgements: the first query's id is {given!r}, the first judged one is {wanted!r}"
        )
    return judged


def read_qrels(source: str | Path, split: str = "test") -> dict[str, dict[str, int]]:
    """Read judgements: ``query<TAB>document<TAB>grade`` (BEIR) or ``query 0 document grade`` (TREC).

    A first line whose grade is not a number is a header.

    Args:
        source: the file, or a folder in BEIR's form.
        split: which of such a folder's judgements: ``qrels/test.tsv``, for instance.

    Raises:
        SourceNotFound: there is no such file; of a folder, the message names the splits it has.
        BadRecord: a line has another form, a grade is not an integer, or two grades of a document differ.
        EmptyCorpus: there is no judgement in it.
    """
    path = _split_of(Path(source), split) if Path(source).is_dir() else Path(source)
    qrels: dict[str, dict[str, int]] = {}
    for position, (number, line) in enumerate(read_lines(path)):
        fields = _judgement(line)
        if fields is None:
            expected = "query<TAB>document<TAB>grade, or query 0 document grade"
            raise BadRecord(path, number, f"expected is {expected}, and there is {line[:60]!r}")
        query, document, grade = fields
        if not re.fullmatch(r"[+-]?\d{1,18}", grade):
            if position == 0:
                continue  # the header
            raise BadRecord(path, number, f"the grade must be an integer, not {grade!r}")
        if qrels.setdefault(query, {}).setdefault(document, int(grade)) != int(grade):
            raise BadRecord(path, number, f"document {document!r} is judged twice for query {query!r}")
    if not qrels:
        raise EmptyCorpus(f"{path} holds no judgement")
    return qrels


def _split_of(folder: Path, split: str) -> Path:
    path = folder / "qrels" / f"{split}.tsv"
    if not path.exists():
        others = ", ".join(sorted(found.stem for found in folder.glob("qrels/*.tsv")))
        has = f"; the folder has judgements for {others}" if others else ""
        raise SourceNotFound(f"{path}: there is no such file{has}")
    return path


def _judgement(line: str) -> tuple[str, str, str] | None:
    fields = line.split("\t")
    if len(fields) == 3:
        return fields[0], fields[1], fields[2].strip()
    fields = line.split()
    return (fields[0], fields[2], fields[3]) if len(fields) == 4 else None


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a run in TREC's form: ``query Q0 document rank score tag``. The ranks are not used.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line has another form, a score is not a number, or a document stands twice for a query.
    """
    run: dict[str, dict[str, float]] = {}
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 6:
            expected = "query Q0 document rank score tag"
            raise BadRecord(path, number, f"expected is {expected}, and there are {len(fields)} fields")
        query, document = fields[0], fields[2]
        score = _number(fields[4])
        if not math.isfinite(score):
            raise BadRecord(path, number, f"the score must be a number, not {fields[4]!r}")
        if document in run.setdefault(query, {}):
            raise BadRecord(path, number, f"document {document!r} stands twice for query {query!r}")
        run[query][document] = score
    return run


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def write_qrels(path: str | Path, qrels: Qrels) -> None:
    """Write judgements: in BEIR's form if the name ends with ``.tsv``, else in TREC's.

    ``read_qrels`` reads both. Nothing is written when they can't be.

    Raises:
        InvalidParameter: an id is empty, or holds what separates the fields: white space in TREC's form,
            tabs and line ends in BEIR's.
    """
    beir = Path(path).suffix == ".tsv"
    lines = ["query-id\tcorpus-id\tscore\n"] if beir else []
    for query, grades in qrels.items():
        for document, grade in grades.items():
            for what, key in (("query id", query), ("document id", document)):
                if beir:
                    _require_field(key, what)
                else:
                    _require_word(key, what, "TREC's judgements")
            lines.append(f"{query}\t{document}\t{grade}\n" if beir else f"{query} 0 {document} {grade}\n")
    Path(path).write_text("".join(lines), encoding="utf-8")


def write_beir(
    folder: str | Path,
    documents: Iterable[Document],
    queries: Mapping[str, str],
    qrels: Qrels,
    split: str = "test",
) -> None:
    """Write a test collection in BEIR's form: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/SPLIT.tsv``.

    ``read_documents``, ``read_queries`` and ``read_qrels`` read the folder back. They put a title before the
    text, as it stands in ``Document.text`` already: so it is written there, and with the metadata.

    Args:
        folder: made if it is not there; files of these names are replaced.
        documents: the corpus; metadata is kept.
        queries: query id -> text.
        qrels: the judgements.
        split: their name.

    Raises:
        InvalidParameter: an id can't be written, or a document has no text.
    """
    folder = Path(folder)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    write_qrels(folder / "qrels" / f"{split}.tsv", qrels)
    asked = ({"_id": key, "text": text} for key, text in queries.items())
    for name, records in (("queries.jsonl", asked), ("corpus.jsonl", _corpus_records(documents))):
        with (folder / name).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _corpus_records(documents: Iterable[Document]) -> Iterator[dict[str, object]]:
    for document in documents:
        if document.text is None:
            raise InvalidParameter(f"document {document.id!r} has no text to be written")
        record: dict[str, object] = {"_id": document.id, "text": document.text}
        if document.metadata:
            record["metadata"] = document.metadata
        yield record


def write_query_values(
    path: str | Path,
    values: Mapping[str, Mapping[str, float]],
    queries: Mapping[str, str] | None = None,
) -> None:
    """Write the values of each query, as ``evaluate_queries`` gives them.

    Args:
        path: ``.csv``: a row for each query with its id, its text if known, and a column for each metric;
            ``.json``: one object, query id -> metric -> value (and ``text``).
        values: metric -> query id -> value.
        queries: the texts, by query id.

    Raises:
        SourceError: the name has another ending.
    """
    path = Path(path)
    names = list(values)
    rows: dict[str, dict[str, float | str]] = {}
    for query in next(iter(values.values()), {}):
        text = {} if queries is None else {"text": queries.get(query, "")}
        rows[query] = {**text, **{name: values[name][query] for name in names}}
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    elif path.suffix == ".csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["query", *([] if queries is None else ["text"]), *names])
        writer.writerows([query, *row.values()] for query, row in rows.items())
        path.write_text(file.getvalue(), encoding="utf-8")
    else:
        raise SourceError(f"{path}: values of queries are written as .csv or .json")


def write_run(path: str | Path, run: Run, tag: str = "plait") -> None:
    """Write a run in TREC's form, in the order given; ``read_run`` gives back the same scores, bit for bit.

    Queries without results leave no line. Nothing is written when the run can't be.

    Raises:
        InvalidParameter: an id or the tag is empty or holds white space (which separates the fields of
            TREC's form), or a score is not finite.
    """
    lines = []
    for query, scores in run.items():
        for rank, (document, score) in enumerate(scores.items(), start=1):
            for what, word in (("query id", query), ("document id", document), ("tag", tag)):
                _require_word(word, what, "a TREC run")
            if not math.isfinite(score):
                raise InvalidParameter(f"the score of {document!r} for query {query!r} is {score}")
            lines.append(f"{query} Q0 {document} {rank} {float(score)!r} {tag}\n")
    Path(path).write_text("".join(lines), encoding="utf-8")


def _require_word(word: str, what: str, where: str) -> None:
    if len(word.split()) != 1 or word.strip() != word:
        raise InvalidParameter(f"{where} can't hold the {what} {word!r}: no spaces are allowed")


def _require_field(key: str, what: str) -> None:
    if not key.strip() or len(key.splitlines()) != 1 or "\t" in key:
        raise InvalidParameter(f"judgements can't hold the {what} {key!r}: tabs and line ends separate them")
