"""What commands print: results on stdout, notes on stderr."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from plait.evaluate import Change, Comparison, Move
    from plait.types import Document, Hit, Hits

_LABELS = {
    "path": "index",
    "format_version": "format version",
    "deleted": "deleted, still on disk",
    "dim": "dimensions",
    "level": "level",
    "nbits": "bits per dimension",
    "calibrated_on": "recall measured at",
    "bytes_on_disk": "bytes on disk",
    "bm25": "BM25",
    "bytes_vectors": "  token vectors",
    "bytes_bm25": "  words for BM25",
    "bytes_bi_encoder": "  single vectors",
    "bytes_catalog": "  texts, ids, metadata",
    "bytes_per_token": "bytes per token (vectors)",
    "bytes_per_document": "bytes per document",
    "recall_search_recall": "search recall",
    "recall_k": "  of the best",
    "recall_nqueries": "  queries",
    "recall_queries": "  made from",
}
_MISSING = {
    "bytes_bm25": "none",
    "bytes_bi_encoder": "none: `plait compact --bi-encoder` adds them",
    "encoder": "none: made for vectors",
    "centroids": "none: vectors are kept as they are",
    "bm25": "none: `plait compact --bm25` adds it",
}


def note(message: str) -> None:
    """Say something that is not a result."""
    click.echo(message, err=True)


def counted(number: int, noun: str) -> str:
    """Write a number and what it counts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_json(value: Any) -> None:
    """Print one value on one line."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    click.echo(json.dumps(value, ensure_ascii=not unicode))


def print_hits(hits: Iterable[Hit], *, as_json: bool) -> None:
    """Print rank, score and id of each hit and the beginning of its text, or one JSON object for each."""
    for hit in hits:
        if as_json:
            record = dataclasses.asdict(hit)
            del record["scores"]  # those of stages, of which there are none
            print_json(record)
            continue
        click.echo(f"{hit.rank:>3}  {hit.score:7.3f}  {_printable(hit.id)}")
        _print_beginning(hit)


def _print_beginning(hit: Hit) -> None:
    width = min(100, max(40, shutil.get_terminal_size().columns))
    for line in textwrap.wrap(_printable(hit.text or ""), width - 5, max_lines=2, placeholder=" ..."):
        click.echo(f"     {line}")


def print_staged(hits: Hits, *, as_json: bool) -> None:
    """Print the hits of a pipeline with the score of each stage, what each stage took and which stopped."""
    if as_json:
        how = {"timings": hits.timings, "complete": hits.complete, "stopped": hits.stopped, "late": hits.late}
        print_json({"hits": [dataclasses.asdict(hit) for hit in hits], **how})
        return
    stages = [name for name in hits.timings if name != "encode"]
    idwidth = min(30, max((len(hit.id) for hit in hits), default=2))
    if hits:
        click.echo(f"{'':>3}  {'':<{idwidth}}" + "".join(f"  {name:>9}" for name in stages))
    for hit in hits:
        scores = (hit.scores.get(name) for name in stages)
        columns = ("-" if score is None else f"{score:.4g}" for score in scores)
        row = "".join(f"  {text:>{max(9, len(name))}}" for name, text in zip(stages, columns, strict=True))
        click.echo(f"{hit.rank:>3}  {_printable(hit.id):<{idwidth}}{row}")
        _print_beginning(hit)
    took = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in hits.timings.items())
    click.echo(f"{sum(hits.timings.values()):.1f} ms: {took}")
    for name in hits.stopped:
        click.echo(f"{name} ran out of time: hits without its score are in the order that they had before")
    for name in hits.late:
        click.echo(f"{name} took longer than its time, and could not be stopped")


def print_document(document: Document, *, as_json: bool) -> None:
    """Print a document as it is, line ends included."""
    if as_json:
        print_json(dataclasses.asdict(document))
        return
    click.echo(f"id: {_printable(document.id)}")
    for name, value in document.metadata.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{_printable(name)}: {_printable(shown)}")
    if document.text is not None:
        click.echo("\n" + "\n".join(_printable(line) for line in document.text.splitlines()))


def print_stats(stats: Mapping[str, Any]) -> None:
    """Print one line for each figure."""
    labels = {name: _LABELS.get(name, name.replace("_", " ")) for name in stats}
    width = max(map(len, labels.values()))
    for name, value in stats.items():
        click.echo(f"{labels[name]:<{width}}  {_figure(name, value)}")


def print_scores(values: Mapping[str, float], nqueries: int, *, as_json: bool) -> None:
    """Print the number of queries and the value of each metric."""
    if as_json:
        print_json({"queries": nqueries, "metrics": dict(values)})
        return
    width = max(map(len, ["queries", *values]))
    click.echo(f"{'queries':<{width}}  {nqueries:,}")
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {value:.4f}")


def print_comparisons(comparisons: Sequence[Comparison], name: str) -> None:
    """Print a table of a run's metrics against those of other runs."""
    several = len({one.against for one in comparisons}) > 1
    click.echo(f"queries  {comparisons[0].nqueries:,}")
    for against in dict.fromkeys(one.against for one in comparisons):
        rows = [["", "run", "other", "difference", "95 % interval", "p"]]
        rows[0] += ["p (Holm)"] * several + ["better", "worse", "equal"]
        rows += [_comparison(one, several) for one in comparisons if one.against == against]
        click.echo(f"\nrun: {_printable(name)}\nother: {_printable(against)}")
        for line in _aligned(rows):
            click.echo(line)


def _comparison(one: Comparison, several: bool) -> list[str]:
    return [
        one.metric,
        f"{one.mean:.4f}",
        f"{one.other_mean:.4f}",
        f"{one.difference:+.4f}",
        f"{one.low:+.4f} to {one.high:+.4f}",
        f"{one.p:.4f}",
        *([f"{one.p_holm:.4f}"] * several),
        *(f"{count:,}" for count in (one.better, one.worse, one.equal)),
    ]


def print_changes(
    changes: Iterable[Change], metric: str, against: str, texts: Mapping[str, str], k: int, moves: int = 5
) -> None:
    """Print queries that won or lost most, and documents that moved."""
    click.echo(f"\n{metric}: queries that changed most, against {_printable(against)}")
    width = min(100, max(40, shutil.get_terminal_size().columns))
    for change in changes:
        head = (
            f"{change.difference:+.4f}  {_printable(change.query)}  {_printable(texts.get(change.query, ''))}"
        )
        click.echo(textwrap.shorten(head, width, placeholder=" ..."))
        for move in change.moves[:moves]:
            click.echo(f"         {_move(move, k)}")
        if len(change.moves) > moves:
            click.echo(f"         and {len(change.moves) - moves:,} more")


def _move(move: Move, k: int) -> str:
    judged = f"relevant ({move.grade})" if move.grade > 0 else "not relevant"
    ranks = [
        f"not in the best {k}" if rank is None else f"rank {rank}" for rank in (move.rank, move.other_rank)
    ]
    return f"{_printable(move.id)}, {judged}: {ranks[0]}, other {ranks[1]}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def _figure(name: str, value: Any) -> str:
    if value is None:
        return _MISSING.get(name, "none")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if "recall" in name else f"{value:,.1f}"


def _printable(text: str) -> str:
    """Replace what a terminal would obey instead of show, and make one line of it."""
    return "".join(character if character.isprintable() else " " for character in text)
