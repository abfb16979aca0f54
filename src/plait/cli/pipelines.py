"""What commands that search do with --pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from plait import Index, Pipeline


def pipeline_of(
    index: Index,
    effort: Mapping[str, Any],
    *,
    pipeline: str | None,
    budget: float | None,
    cross_encoder: str | None,
) -> Pipeline | None:
    """The pipeline that was asked for, over an index; None if none was."""
    if pipeline is None:
        if budget is not None or cross_encoder is not None:
            raise click.BadParameter("--budget and --cross-encoder belong to --pipeline")
        return None
    given = [name for name, value in effort.items() if value is not None]
    if given:
        raise click.BadParameter(f"--{given[0].replace('_', '-')} belongs to a search without --pipeline")
    from plait import Pipeline

    options: dict[str, Any] = {} if cross_encoder is None else {"cross_encoder": cross_encoder}
    make = Pipeline.from_config if pipeline.endswith(".toml") else Pipeline.from_string
    made = make(pipeline, index, **options)
    return made if budget is None else made.within(budget)
