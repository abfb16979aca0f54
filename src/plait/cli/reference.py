"""Make ``docs/cli.md`` from the commands' help: ``python -m plait.cli.reference > docs/cli.md``."""

from __future__ import annotations

import click

from plait.cli.main import app

_INTRODUCTION = """\
# The command line

Made from the commands' own help by `python -m plait.cli.reference > docs/cli.md`.

Results go to stdout. Notes, errors and progress bars (these on a terminal only) go to stderr. `--json` prints
one JSON object per line.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the given files or values can't be used: one line beginning with `error:` says why |
| 2 | wrong usage |
| 130, 143 | interrupted (Ctrl-C), terminated: an index in the making is gone, a changing one is as it was |
| 141 | the reader of the output went away |
"""
_WIDTH = 100


def reference() -> str:
    """Describe all commands in Markdown."""
    top = app.context_class(
        app, info_name="plait", terminal_width=_WIDTH, max_content_width=_WIDTH, **app.context_settings
    )
    below = [command.context_class(command, top, name) for name, command in app.commands.items()]
    return "\n".join([_INTRODUCTION, *map(_section, [top, *below])])


def _section(context: click.Context) -> str:
    return f"## {context.command_path}\n\n```text\n{context.get_help().strip()}\n```\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
