"""Commands that make what a model is trained on: queries, mine, score, and recipes that do it all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plait.cli import options
from plait.cli.output import counted, note, print_json, print_stats
from plait.cli.progress import progress_bars

if TYPE_CHECKING:
    from plait.train import Teacher

_GROUPS = "Groups: JSON lines of a query, its positive and its negatives."
as_json = options.as_json("Print JSON.")
seed = click.option("--seed", type=int, metavar="N", default=0, help="Of every choice.", show_default=True)


def share_or_count(context: click.Context, option: click.Parameter, text: str) -> float | int:
    """A share such as 0.1, or a number such as 200."""
    try:
        return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        raise click.BadParameter(
            f"expected is a share such as 0.1 or a number such as 200, not {text}"
        ) from None


@click.command(cls=options.Command)
@options.source
@click.option("-o", "--output", type=Path, metavar="DIR", required=True, help="The folder to make.")
@click.option("--pairs", is_flag=True, help="SOURCE holds pairs: JSON lines with query and positive.")
@click.option("--documents", metavar="SOURCE", help="With --pairs: further documents, to find negatives in.")
@click.option(
    "--kinds",
    metavar="NAMES",
    default="title,heading,sentence",
    help="What queries are made of, with commas between.",
    show_default=True,
)
@click.option(
    "--per-document",
    type=options.COUNT,
    metavar="N",
    default=2,
    help="Queries of a document, or of a section, at most.",
    show_default=True,
)
@click.option(
    "--held-out",
    metavar="N",
    default="0.1",
    callback=share_or_count,
    help="Documents whose queries are for testing: a share, or how many.",
    show_default=True,
)
@seed
@options.skip_bad_lines
@as_json
def queries(
    source: str,
    output: Path,
    pairs: bool,
    documents: str | None,
    kinds: str,
    per_document: int,
    held_out: float | int,
    seed: int,
    skip_bad_lines: bool,
    as_json: bool,
) -> None:
    """Make a corpus with queries and judgements of documents without any, or of pairs.

    A title, a heading or a cropped sentence becomes a query, and is taken out of its document. The folder is
    in BEIR's form, with qrels/train.tsv and, of documents held out, qrels/test.tsv.
    """
    from plait.errors import InvalidParameter
    from plait.sources import read_documents
    from plait.train import Generation, corpus_of_pairs, generate_queries, read_pairs

    if output.exists():
        raise InvalidParameter(f"{output} exists already; give a new folder")
    if documents is not None and not pairs:
        raise click.BadParameter("--documents belongs to --pairs")
    if pairs:
        more = read_documents(documents, skip_bad_lines=skip_bad_lines) if documents else ()
        corpus = corpus_of_pairs(read_pairs(source), more, held_out=held_out, seed=seed)
        counts = {"documents": len(corpus.documents)}
    else:
        names = [name.strip() for name in kinds.split(",")]
        how = Generation(names, per_document, held_out=held_out, seed=seed)
        corpus, counts = generate_queries(read_documents(source, skip_bad_lines=skip_bad_lines), how)
    corpus.write(output)
    counts |= {"queries to train": len(corpus.qrels["train"]), "queries to test": len(corpus.qrels["test"])}
    _print(counts, as_json)


@click.command(cls=options.Command)
@options.folder
@click.option(
    "--queries", metavar="FILE", required=True, help="Queries: .jsonl, .tsv, or a folder in BEIR's form."
)
@click.option("--qrels", metavar="FILE", required=True, help="Their positives: judgements of 1 and more.")
@click.option("-o", "--output", type=Path, metavar="FILE", required=True, help="The file of groups to make.")
@click.option(
    "--source",
    "sources",
    metavar="NAME[:N[:RANKS]]",
    multiple=True,
    help="Where negatives come from: colbert, bm25, bi_encoder or random; how many for each positive; and "
    "the window of ranks. May be given several times.",
    show_default="colbert:4:10-100 bm25:3:10-100 random:1",
)
@click.option(
    "--margin", type=float, metavar="X", help="Drop a negative with more than the positive's score minus X."
)
@click.option(
    "--share",
    type=float,
    metavar="X",
    help="Drop a negative with more than this share of the positive's score.",
)
@click.option(
    "--judge", metavar="KIND:PATH", help="A teacher whose scores --margin and --share are about.",
    show_default="the retriever's own scores",
)  # fmt: skip
@click.option("--cache", type=Path, metavar="FILE", help="Where the judge's scores are kept.")
@click.option(
    "--pick", metavar="NAME", default="random", help="Of a window: random, or top.", show_default=True
)
@click.option("--no-fill", is_flag=True, help="Leave places empty that a window can't fill.")
@seed
@options.model
@options.threads
@as_json
def mine(
    folder: Path,
    queries: str,
    qrels: str,
    output: Path,
    sources: tuple[str, ...],
    margin: float | None,
    share: float | None,
    judge: str | None,
    cache: Path | None,
    pick: str,
    no_fill: bool,
    seed: int,
    model: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find hard negatives for queries whose positives are known.

    A run that was cut off goes on where it was when it is started again.
    """
    from plait import Index
    from plait.evaluate import judged_queries, read_qrels
    from plait.sources import read_queries
    from plait.train import Margin, Mining, Source, load_teacher
    from plait.train import mine as mine_groups
    from plait.train.negatives import SOURCES
    from plait.train.score_cache import RememberedTeacher, ScoreCache

    chosen = tuple(map(Source.parse, sources)) or SOURCES
    how = Mining(chosen, margin=Margin(margin, share), pick=pick, fill=not no_fill, seed=seed)
    judgements = read_qrels(qrels)
    asked = judged_queries(read_queries(queries), judgements)
    with (
        Index.open(folder, model=model) as index,
        ScoreCache(cache) as known,
        progress_bars() as progress,
    ):
        teacher = RememberedTeacher(load_teacher(judge, threads), known) if judge else None
        report = mine_groups(
            index, asked, judgements, output, how, judge=teacher, threads=threads, progress=progress
        )
    _print(dataclasses.asdict(report), as_json)


@click.command(cls=options.Command)
@options.argument("groups", "GROUPS", _GROUPS, type=Path)
@click.option("-o", "--output", type=Path, metavar="FILE", required=True, help="The file of groups to make.")
@click.option(
    "--teacher",
    "teachers",
    metavar="KIND:PATH",
    multiple=True,
    required=True,
    help="cross_encoder:PATH, bi_encoder:PATH, colbert[:PATH] or bm25:INDEX. May be given several times.",
)
@click.option(
    "--weight",
    "weights",
    type=float,
    metavar="X",
    multiple=True,
    help="Of each teacher, in the same order.",
    show_default="all the same",
)
@click.option(
    "--normalise",
    type=click.Choice(["none", "query", "global"]),
    help="Scale scores to mean 0 and deviation 1, in each group or over all.",
    show_default="none for one teacher, global for several",
)
@click.option(
    "--cache", type=Path, metavar="FILE", help="Where scores are kept.", show_default="GROUPS.scores"
)
@options.threads
@as_json
def score(
    groups: Path,
    output: Path,
    teachers: tuple[str, ...],
    weights: tuple[float, ...],
    normalise: str | None,
    cache: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Score groups with one teacher or several together.

    Scores are kept: a run that was cut off goes on where it was, and a second one costs nothing.
    """
    from plait.train import load_teacher
    from plait.train import score as score_groups

    loaded: list[Teacher] = [load_teacher(name, threads) for name in teachers]
    kept = cache or groups.with_name(f"{groups.name}.scores")
    with progress_bars() as progress:
        report = score_groups(
            groups,
            output,
            loaded,
            weights=weights or None,
            normalise=normalise,
            cache=kept,
            progress=progress,
        )
    if as_json:
        print_json(dataclasses.asdict(report))
        return
    click.echo(f"scored {counted(report.groups, 'group')}, {counted(report.pairs, 'pair')}")
    shown = report.teachers if len(report.teachers) == 1 else [*report.teachers, report.together]
    for one in shown:
        computed = "" if one.computed is None else f", {one.computed:,} pairs computed"
        click.echo(
            f"{one.name}: positives {one.positives:.3f}, negatives {one.negatives:.3f}, deviation "
            f"{one.deviation:.3f}; the positive is first in {one.positive_first:.1%}{computed}"
        )


@click.command(cls=options.Command)
@options.argument("recipe", "RECIPE", "A TOML file; docs/training.md explains it.", type=Path)
@click.option("-o", "--output", type=Path, metavar="DIR", required=True, help="Where everything is written.")
@options.threads
@as_json
def recipe(recipe: Path, output: Path, threads: int | None, as_json: bool) -> None:
    """Make a model: mine, score, train, convert and evaluate, as a recipe says.

    Steps that were done with the same inputs are not done again, so a run that was cut off goes on where it
    was, and after a change of the recipe only what depends on it is done. DIR/report.md says what came out;
    DIR/model is what --model takes.
    """
    from plait.train import read_recipe, run_recipe

    what = read_recipe(recipe)
    with progress_bars() as progress:
        report = run_recipe(what, output, threads=threads, progress=progress, notice=_tell)
    if as_json:
        print_json({name: report.values(name) for name in report.qrels})
        return
    for name in report.qrels:
        for one in report.comparisons(name):
            click.echo(
                f"{name}, {one.metric}: {one.other_mean:.4f} ({report.start}) -> {one.mean:.4f} "
                f"({one.difference:+.4f}, 95% interval {one.low:+.4f} to {one.high:+.4f}, p = {one.p:.4f})"
            )
    click.echo(f"the model is {output / 'model'}, and {output / 'report.md'} says more")


def _tell(name: str, state: str, seconds: float) -> None:
    """Say which step is at work, and which is done."""
    time = f" in {seconds:,.0f} s" if state == "done" else ""
    note(f"{name} ..." if state == "begun" else f"{name}: {state}{time}")


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(values)
        return
    flat: dict[str, Any] = {}
    for name, value in values.items():
        label = name.replace("_", " ")
        if isinstance(value, dict):
            flat |= {f"{label}: {key}": number for key, number in value.items()}
        else:
            flat[label] = value
    print_stats(flat)
