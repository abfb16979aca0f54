"""The command that judges an index or a run, alone or against other runs: evaluate."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plait.cli import options
from plait.cli.output import note, print_changes, print_comparisons, print_json, print_scores
from plait.cli.pipelines import pipeline_of
from plait.cli.progress import progress_bars
from plait.cli.retrieval import effort_of, require_writable

if TYPE_CHECKING:
    from plait.evaluate import Change, Comparison, Qrels, Run


@click.command(cls=options.Command)
@options.argument(
    "folder", "[DIR]", "The index's folder. Without it, --run is judged.", type=Path, required=False
)
@click.option(
    "--queries",
    metavar="FILE",
    help="Queries: .jsonl, .tsv, or a folder in BEIR's form.",
    show_default="those of --qrels, if that is a folder",
)
@click.option(
    "--qrels",
    metavar="FILE",
    required=True,
    help="Judgements: BEIR's .tsv, TREC's form, or a folder in BEIR's form.",
)
@click.option(
    "--metrics",
    metavar="NAMES",
    multiple=True,
    help="Metrics, with commas between them; names of trec_eval, ir-measures and ranx are understood.",
    show_default="nDCG@10,MRR@10,Recall@100",
)
@options.as_json("Print JSON.")
@click.option(
    "--run",
    type=Path,
    metavar="FILE",
    help="A TREC run. With DIR its results are written there, without it the run is read and judged.",
)
@click.option(
    "--against",
    type=Path,
    metavar="FILE",
    multiple=True,
    help="Another TREC run to compare with; may be given several times.",
)
@click.option(
    "--changes",
    type=click.IntRange(min=0),
    metavar="N",
    default=3,
    help="Show so many queries that won most, and as many that lost most.",
    show_default=True,
)
@click.option(
    "--per-query", type=Path, metavar="FILE", help="Write the values of each query, as .csv or .json."
)
@options.results(None, "as many as the metrics look at")
@options.pipeline
@options.budget
@options.cross_encoder
@options.nprobe
@options.ndocs
@options.scan
@options.recall_target
@options.threads
def evaluate(
    folder: Path | None,
    queries: str | None,
    qrels: str,
    metrics: tuple[str, ...],
    as_json: bool,
    run: Path | None,
    against: tuple[Path, ...],
    changes: int,
    per_query: Path | None,
    k: int | None,
    threads: int | None,
    **effort: Any,
) -> None:
    """Judge an index, or a run: the mean of each metric, and what is different --against other runs.

    With DIR all judged queries are asked. The conventions are trec_eval's: a judged query without results
    counts as 0. Differences come with a 95 % interval (paired bootstrap) and the p-value of a paired
    randomisation test; with several other runs also corrected for their number (Holm).
    """
    from plait.evaluate import DEFAULT_METRICS, depth, evaluate_queries, read_qrels, write_query_values
    from plait.evaluate import evaluate as values_of

    names = _names(metrics) or list(DEFAULT_METRICS)
    _require_usage(folder, run, per_query, {"k": k, "threads": threads, **effort})
    judgements = read_qrels(qrels)
    values_of(judgements, {}, names)  # a wrong name is reported before the long work
    others = _read_runs(against, judgements)
    texts = _texts(queries, qrels)
    if folder is not None:
        found = _asked(folder, texts, judgements, depth(names) if k is None else k, run, threads, effort)
    else:
        found = _read_runs([run] if run else [], judgements)[str(run)]
    if per_query is not None:
        write_query_values(per_query, evaluate_queries(judgements, found, names), texts or None)
    values = values_of(judgements, found, names)
    if not others:
        print_scores(values, len(judgements), as_json=as_json)
        return
    shown, told = _differences(judgements, found, others, names, changes)
    if as_json:
        print_json({"queries": len(judgements), "metrics": values, **_as_json(shown, told)})
        return
    print_comparisons(shown, str(folder or run))
    for name, some in told.items():
        print_changes(some, names[0], name, texts, depth(names[:1], 100))


def _require_usage(
    folder: Path | None, run: Path | None, per_query: Path | None, searching: Mapping[str, Any]
) -> None:
    if folder is None and run is None:
        raise click.BadParameter("give an index's folder, or a run with --run FILE")
    if folder is None and any(value is not None for value in searching.values()):
        raise click.BadParameter("a run that is read is judged as it is: options of searches need a DIR")
    if per_query is not None and per_query.suffix not in (".csv", ".json"):
        raise click.BadParameter(f"--per-query writes .csv or .json, not {per_query.name!r}")


def _texts(queries: str | None, qrels: str) -> dict[str, str]:
    """The queries, which a folder of judgements may hold as well; none if they are not needed."""
    from plait.errors import SourceNotFound
    from plait.sources import read_queries

    if queries is not None:
        return read_queries(queries)
    try:
        return read_queries(qrels) if Path(qrels).is_dir() else {}
    except SourceNotFound:
        return {}


def _asked(
    folder: Path,
    texts: dict[str, str],
    judgements: Qrels,
    k: int,
    run: Path | None,
    threads: int | None,
    effort: dict[str, Any],
) -> Run:
    """Ask the index all judged queries, and keep the run if that is wanted."""
    from plait import Index
    from plait.evaluate import judged_queries, run_of, write_run

    if not texts:
        raise click.BadParameter("an index needs --queries FILE to be asked")
    asked = judged_queries(texts, judgements)
    if run is not None:
        require_writable(asked)
    stages = {name: effort.pop(name) for name in ("pipeline", "budget", "cross_encoder")}
    with Index.open(folder) as opened, progress_bars() as progress:
        staged = pipeline_of(opened, effort, **stages)
        if staged is None:
            how = effort_of(opened, k, **effort)
            hits = opened.search_all(list(asked.values()), k, threads=threads, progress=progress, **how)
        else:
            hits = [*staged.search_all(list(asked.values()), k, threads=threads, progress=progress)]
    found = run_of(asked, hits)
    if run is not None:
        write_run(run, found)
    if len(asked) < len(judgements):
        note(f"judged, but without a query, and counted as 0: {len(judgements) - len(asked):,}")
    return found


def _read_runs(paths: Sequence[Path], judgements: Qrels) -> dict[str, Run]:
    from plait.errors import InvalidParameter
    from plait.evaluate import read_run

    runs: dict[str, Run] = {}
    for path in paths:
        runs[str(path)] = run = read_run(path)
        missing = len(judgements.keys() - run.keys())
        if missing == len(judgements):
            raise InvalidParameter(f"{path} has results for none of the {missing:,} judged queries")
        if missing:
            note(f"judged, but not in {path}, and counted as 0: {missing:,}")
    return runs


def _differences(
    judgements: Qrels, run: Run, others: Mapping[str, Run], names: list[str], most: int
) -> tuple[list[Comparison], dict[str, list[Change]]]:
    """All comparisons, and for each other run the queries that won and lost most by the first metric."""
    from plait.evaluate import changed_queries, compare_runs, depth

    shown = compare_runs(judgements, run, others, names)
    told = {}
    for name, other in others.items() if most else ():
        changes = changed_queries(judgements, run, other, names[0], k=depth(names[:1], 100))
        won = [change for change in changes if change.difference > 0][:most]
        lost = [change for change in changes if change.difference < 0][-most:]
        told[name] = won + lost
    return shown, told


def _as_json(shown: list[Comparison], told: Mapping[str, list[Change]]) -> dict[str, Any]:
    return {
        "comparisons": [dataclasses.asdict(one) for one in shown],
        "changes": {name: [dataclasses.asdict(change) for change in some] for name, some in told.items()},
    }


def _names(metrics: tuple[str, ...]) -> list[str]:
    """Split at commas and spaces, except inside parentheses."""
    found = (name for given in metrics for name in re.split(r"[,\s]+(?![^(]*\))", given))
    return [name for name in found if name]
