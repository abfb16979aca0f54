"""What commands share: their arguments and options, and a help page that explains both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])
COUNT = click.IntRange(min=1)


class Argument(click.Argument):
    """A positional argument with an explanation."""

    def __init__(self, *args: Any, explained: str, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.explained = explained


class Command(click.Command):
    """A command whose help explains its arguments too, in the same way with every version of click."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, then the options."""
        arguments = [param for param in self.params if isinstance(param, Argument)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(param.human_readable_name, param.explained) for param in arguments])
        super().format_options(ctx, formatter)


def argument(name: str, metavar: str, explained: str, **attrs: Any) -> Callable[[AnyCommand], AnyCommand]:
    """Declare a positional argument."""
    return click.argument(name, cls=Argument, metavar=metavar, explained=explained, **attrs)


def results(default: int | None = 10, shown: str | bool = True) -> Callable[[AnyCommand], AnyCommand]:
    """Declare -k."""
    return click.option(
        "-k", type=COUNT, metavar="N", default=default, help="Results per query.", show_default=shown
    )


def language(command: AnyCommand) -> AnyCommand:
    """Declare --language."""
    return click.option(
        "--language",
        metavar="NAME",
        help="Of the texts, for BM25: its stems are counted; none for words as they are.",
        show_default="english",
    )(command)


def bm25_of(language: str | None) -> Any:
    """What ``Index.create`` takes for a language."""
    from plait import BM25

    if language is None:
        return True
    return BM25(language=None if language == "none" else language)


def as_json(explained: str) -> Callable[[AnyCommand], AnyCommand]:
    """Declare --json."""
    return click.option("--json", "as_json", is_flag=True, help=explained)


def _as_filter(context: click.Context, option: click.Parameter, text: str | None) -> dict[str, Any] | None:
    """Read a filter; what it may hold is for the library to say."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f'expected is an object such as {{"year": {{"$gte": 2020}}}}, not {text}')
    return value


TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list}


def _as_fields(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, type] | None:
    """Read NAME:TYPE, where a name may hold colons."""
    fields: dict[str, type] = {}
    for text in given:
        name, _, kind = text.rpartition(":")
        if not name or kind not in TYPES:
            raise click.BadParameter(f"expected is NAME:TYPE with one of {', '.join(TYPES)}, not {text!r}")
        fields[name] = TYPES[kind]
    return fields or None


fields = click.option(
    "--field",
    "fields",
    metavar="NAME:TYPE",
    multiple=True,
    callback=_as_fields,
    help="A metadata field whose filters use an index, and its type: int, float, str, bool or list.",
)
filter_ = click.option(
    "--filter",
    metavar="JSON",
    callback=_as_filter,
    help="""Only documents whose metadata matches, such as '{"year": {"$gte": 2020}}' (docs/filters.md).""",
)
only_ids = click.option(
    "--id", "ids", metavar="ID", multiple=True, help="Only these documents; may be given several times."
)
folder = argument("folder", "DIR", "The index's folder.", type=Path)
source = argument(
    "source",
    "SOURCE",
    "Documents: a .jsonl, .csv, .tsv or .parquet file, a folder of .txt and .md files, "
    "a folder in BEIR's form, or - for JSON lines on the standard input.",
)
pipeline = click.option(
    "--pipeline",
    metavar="STAGES",
    help="Search in stages, such as 'bm25:1000 + bi:1000 > colbert:100 > cross:10', or as a .toml file says "
    "(docs/pipelines.md).",
)
budget = click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MS",
    help="Milliseconds for a query; stages of the pipeline stop in time.",
)
cross_encoder = click.option(
    "--cross-encoder",
    metavar="CHECKPOINT",
    help="The cross-encoder of the pipeline's stage `cross`: a folder, a hub name, or the name of an "
    "installed one.",
    show_default="minilm",
)
threads = click.option(
    "--threads", type=COUNT, metavar="N", help="CPU threads to use.", show_default="all cores"
)
batch_size = click.option(
    "--batch-size", type=COUNT, metavar="N", default=10_000, help="Documents per commit.", show_default=True
)
resume = click.option(
    "--resume", is_flag=True, help="Go on with what was cut off: leave out documents whose ids are there."
)
timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=30.0,
    help="How long to wait while another process writes.",
    show_default=True,
)
no_compact = click.option(
    "--no-compact",
    is_flag=True,
    help="Do not merge segments when there are too many (`plait compact` does).",
)
skip_bad_lines = click.option(
    "--skip-bad-lines", is_flag=True, help="Leave broken records out and say how many, instead of stopping."
)
level = click.option(
    "--level",
    metavar="NAME",
    help="How faithfully vectors are kept: compact, balanced or precise.",
    show_default="balanced",
)
new_model = click.option(
    "--model",
    metavar="CHECKPOINT",
    help="Folder of a checkpoint, or its name on the Hugging Face hub.",
    show_default="the built-in model",
)
model = click.option(
    "--model",
    metavar="CHECKPOINT",
    help="The checkpoint of the index's vectors, if it has moved or the index names none.",
)
run_file = click.option("--run", type=Path, metavar="FILE", help="Write the results as a TREC run.")
nprobe = click.option(
    "--nprobe",
    type=COUNT,
    metavar="N",
    help="Centroids visited per query token.",
    show_default="chosen for k",
)
ndocs = click.option(
    "--ndocs", type=COUNT, metavar="N", help="Documents rescored at a time.", show_default="chosen for k"
)
recall_target = click.option(
    "--recall-target",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Look as far as it takes to find this share of a full scan's results, by what the index measured.",
)
scan = click.option(
    "--scan/--no-scan",
    default=None,
    help="Score every document, or never.",
    show_default="by size of the index",
)
