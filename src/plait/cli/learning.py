"""Commands that make a model: train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from plait.cli import options
from plait.cli.output import counted, print_json
from plait.cli.progress import progress_bars
from plait.cli.training import share_or_count
from plait.train.settings import CODE_SIDES, PRECISIONS, SYSTEMS, TrainSettings

_LOSSES = {"contrastive": (1.0, 0.0), "distillation": (0.0, 1.0), "both": (1.0, 1.0)}
_POSITIVE = click.FloatRange(min=0, min_open=True)


def _setting(
    name: str, kind: Any, explained: str, shown: str | bool = True, **more: Any
) -> Callable[[options.AnyCommand], options.AnyCommand]:
    """An option for a value of ``TrainSettings``, with its default there."""
    default = getattr(TrainSettings(), name.replace("-", "_"))
    if default is None:
        shown = shown if isinstance(shown, str) else False
    return click.option(f"--{name}", type=kind, default=default, help=explained, show_default=shown, **more)


def _held_out(context: click.Context, option: click.Parameter, text: str | None) -> float | int | str | None:
    """A share, a number, or a file."""
    if text is None or Path(text).is_file():
        return text
    return share_or_count(context, option, text)


@click.command(cls=options.Command)
@options.argument(
    "groups", "GROUPS", "Groups: JSON lines of a query, its positive and its negatives.", type=Path
)
@click.option(
    "--model", metavar="BASE", required=True, help="What to begin with: a folder, a hub name or builtin."
)
@click.option("-o", "--output", type=Path, metavar="DIR", required=True, help="The folder to make.")
@_setting("system", click.Choice(SYSTEMS), "What to train.")
@click.option(
    "--loss",
    type=click.Choice(list(_LOSSES)),
    default="contrastive",
    help="The positive among negatives, the teacher's scores, or both.",
    show_default=True,
)
@click.option("--distillation-weight", type=_POSITIVE, metavar="X", help="Of --loss both.", show_default="1")
@click.option("--contrastive-weight", type=_POSITIVE, metavar="X", help="Of --loss both.", show_default="1")
@_setting("bi-encoder", click.FloatRange(min=0), "Weight of a bi-encoder beside ColBERT.", metavar="X")
@click.option("--in-batch/--no-in-batch", default=True, help="Other groups' documents are negatives too.")
@_setting("negatives", click.IntRange(min=0), "Negatives of a group per step.", "all", metavar="N")
@_setting("temperature", _POSITIVE, "Of the contrastive loss.", "1, bi-encoder .05", metavar="X")
@_setting("student-temperature", _POSITIVE, "Of the model's scores in distillation.", metavar="X")
@_setting("teacher-temperature", _POSITIVE, "Of the teacher's scores in distillation.", metavar="X")
@_setting("dim", options.COUNT, "Components per vector.", "128 or the network's", metavar="N")
@_setting("vectors", options.COUNT, "Vectors of a text: poly-encoder, me-bert.", metavar="N")
@_setting("code-side", click.Choice(CODE_SIDES), "Which side of the poly-encoder has them.")
@click.option("--first-tokens", is_flag=True, help="First token outputs in place of codes.")
@_setting("query-length", options.COUNT, "Tokens of a query at most.", "32", metavar="N")
@_setting("document-length", options.COUNT, "Tokens of a document at most.", "180, one text 256", metavar="N")
@click.option(
    "--query-expansion/--no-query-expansion", default=None, help="Fill ColBERT's queries with the mask token."
)
@_setting("query-prefix", str, "Put before queries.", "a marker, colbert", metavar="TEXT")
@_setting("document-prefix", str, "Put before documents.", "a marker, colbert", metavar="TEXT")
@_setting("frozen-layers", click.IntRange(min=0), "Lower layers not trained.", "none", metavar="N")
@click.option("--cache", type=Path, metavar="DIR", help="Keep outputs of frozen layers for other runs.")
@click.option(
    "--cache-size",
    type=click.FloatRange(min=0),
    metavar="GB",
    default=2.0,
    help="How much of them, at most.",
    show_default=True,
)
@_setting("batch-size", options.COUNT, "Groups per step.", metavar="N")
@click.option("--cached", is_flag=True, help="GradCache: less memory, a third slower.")
@_setting("learning-rate", _POSITIVE, "The highest one.", metavar="X")
@_setting("head-learning-rate", _POSITIVE, "Behind the network.", "the same", metavar="X")
@_setting("warm-up", click.FloatRange(0, 1, max_open=True), "Share of steps it rises in.", metavar="SHARE")
@_setting("epochs", options.COUNT, "Passes over the groups.", metavar="N")
@_setting("steps", options.COUNT, "Steps, in place of --epochs.", metavar="N")
@_setting("seed", click.IntRange(min=0), "Of every choice.", metavar="N")
@_setting("precision", click.Choice(PRECISIONS), "Of the network's products; auto: bf16 on a GPU.")
@click.option(
    "--held-out",
    metavar="N",
    callback=_held_out,
    help="Groups to judge by, not trained on: a share, how many, or a file of others.",
    show_default="a twentieth, 500 at most",
)
@_setting("validate-every", options.COUNT, "Steps between two looks at them.", "a tenth of all", metavar="N")
@_setting("checkpoint-every", options.COUNT, "Steps between two checkpoints.", "as above", metavar="N")
@_setting("keep", click.Choice(("best", "last")), "Weights with the best held-out nDCG, or the last.")
@click.option("--resume", is_flag=True, help="Go on with the run in DIR that was stopped; else start.")
@options.as_json("Print JSON.")
def train(
    groups: Path,
    model: str,
    output: Path,
    loss: str,
    contrastive_weight: float | None,
    distillation_weight: float | None,
    held_out: float | int | str | None,
    cache: Path | None,
    cache_size: float,
    resume: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Train a model on groups, and write a checkpoint.

    DIR/training holds the log (log.csv), the curves of loss and held-out nDCG@10 (loss.svg, ndcg.svg) and
    what --resume goes on from. Ctrl-C stops at a place where nothing is lost.
    """
    from plait.train.settings import settings_from
    from plait.train.training import train as train_groups

    contrastive, distillation = _LOSSES[loss]
    settings = settings_from(
        {
            **chosen,
            "contrastive": contrastive * (contrastive_weight or 1),
            "distillation": distillation * (distillation_weight or 1),
        }
    )
    with progress_bars() as progress:
        done = train_groups(
            groups,
            output,
            model=model,
            held_out=held_out,
            cache=cache,
            cache_bytes=int(cache_size * 1e9),
            resume=resume,
            progress=progress,
            settings=settings,
        )
    if as_json:
        print_json({"steps": done.steps, "ndcg_before": done.first_ndcg, "ndcg": done.ndcg, "log": done.rows})
        return
    click.echo(f"wrote {output} after {counted(done.steps, 'step')}")
    if done.ndcg is not None and done.first_ndcg is not None:
        click.echo(f"held-out nDCG@10: {done.first_ndcg:.4f} before, {done.ndcg:.4f} now")
