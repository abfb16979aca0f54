"""The ``plait`` command: its sub-commands, and what becomes of an error.

Exit codes: 0 done; 1 the given files or values can't be used, or the system refused something (one line on
stderr); 2 wrong usage; 130 interrupted; 141 nobody reads the output any more; 143 terminated.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import plait
from plait.cli import (
    comparison,
    corpus,
    documents,
    encoders,
    evaluation,
    foreign,
    learning,
    maintenance,
    retrieval,
    training,
)
from plait.cli.output import note
from plait.errors import CheckpointWarning, ForeignIndexWarning, PlaitError

_DATABASE = "sqlite3"


class Commands(click.Group):
    """Runs a sub-command and turns what goes wrong into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the sub-commands in the order of a corpus' life."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command; a fault of plait itself still shows its traceback."""
        try:
            with _warnings_as_notes():
                result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be written
            raise click.exceptions.Exit(141) from None
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(130) from None
        except Exception as error:
            message = _explain(error)
            if message is None:
                raise
            click.echo(f"error: {message}", err=True)
            raise click.exceptions.Exit(1) from None
        return result


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """What had to be assumed about a checkpoint is one line on stderr, without Python's ``file:line``."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, CheckpointWarning | ForeignIndexWarning):
                note(f"warning: {message}")
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        warnings.simplefilter("always", CheckpointWarning)
        warnings.simplefilter("always", ForeignIndexWarning)
        yield


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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(plait.__version__, message="plait %(version)s")
def app() -> None:
    """Late-interaction (ColBERT) retrieval: index texts, then ask."""


for command in (
    corpus.index,
    foreign.import_,
    corpus.add,
    corpus.upsert,
    documents.delete,
    documents.get,
    documents.count,
    retrieval.search,
    retrieval.inspect,
    evaluation.evaluate,
    training.queries,
    training.mine,
    training.score,
    learning.train,
    training.recipe,
    comparison.compare,
    encoders.convert,
    maintenance.compact,
    maintenance.verify,
    maintenance.repair,
    maintenance.backup,
    maintenance.export,
):
    app.add_command(command)


def _terminate(number: int, frame: object) -> None:
    sys.exit(128 + number)  # an exception, so that a half-made index is cleared away


def run() -> None:
    """Run the command line of this process: the entry point of ``plait``."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="plait")
