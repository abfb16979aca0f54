"""Parquet → records, with pyarrow if it is installed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

from plait.errors import MissingExtra, SourceError
from plait.sources.records import Row


def load_parquet() -> Any:
    """Import what ``parquet_rows`` needs, or raise MissingExtra."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtra("pyarrow", "parquet") from None


def parquet_rows(source: str, parquet: Any) -> Iterator[Row]:
    """Read the records of a Parquet file; the 'line' is the row, counted from 1."""
    number = 0
    try:
        with parquet.ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield Row(source, number, _plain(record))
    except importlib.import_module("pyarrow").ArrowException as error:
        raise SourceError(f"{source}: not a readable Parquet file: {error}") from None


def _plain(record: dict[str, Any]) -> dict[str, Any] | str:
    """Turn the record into JSON's types: dates and decimals become strings."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(record, default=str, allow_nan=False))
    except (TypeError, ValueError) as error:
        return f"a value can't be kept as JSON: {error}"
    return plain
