"""The ``plait`` command: its sub-commands, and what becomes of an error.

Exit codes: 0 done; 1 the given files or values can't be used, or the system refused something (one line on
stderr); 2 wrong usage; 130 interrupted; 141 nobody reads the output any more; 143 terminated.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import plait
from plait.cli import corpus, retrieval
from plait.errors import PlaitError

_DATABASE = "sqlite3"


class Commands(TyperGroup):
    """Runs a sub-command and turns what goes wrong into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command; a fault of plait itself still shows its traceback."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be written
            raise typer.Exit(141) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            message = _explain(error)
            if message is None:
                raise
            typer.echo(f"error: {message}", err=True)
            raise typer.Exit(1) from None
        return result


def _explain(error: Exception) -> str | None:
    """One line about an error that is not plait's fault; None for all others."""
    if isinstance(error, PlaitError):
        hint = " (--skip-bad-lines leaves such records out)" if hasattr(error, "__notes__") else ""
        return " ".join(str(error).split()) + hint
    if isinstance(error, OSError):
        reason = error.strerror or f"a file could not be written or read whole ({error}): is the disk full?"
        return f"{error.filename}: {reason}" if error.filename else reason
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if (
        type(error).__module__ == _DATABASE
    ):  # such as a full disk, met by SQLite; named, because it is not loaded
        return f"the index's catalog: {error}"
    return None


app = typer.Typer(
    cls=Commands,
    name="plait",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index")(corpus.index)
app.command("add")(corpus.add)
app.command("delete")(corpus.delete)
app.command("get")(corpus.get)
app.command("search")(retrieval.search)
app.command("inspect")(retrieval.inspect)
app.command("evaluate")(retrieval.evaluate)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plait {plait.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Late-interaction (ColBERT) retrieval: index texts, then ask."""


def _terminate(number: int, frame: object) -> None:
    sys.exit(128 + number)  # an exception, so that a half-made index is cleared away


def run() -> None:
    """Run the command line of this process: the entry point of ``plait``."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="plait")
