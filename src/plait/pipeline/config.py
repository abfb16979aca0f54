"""The TOML form of a pipeline."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plait.errors import InvalidParameter, SourceNotFound
from plait.pipeline.stages import number

_TOP = {"pipeline", "stages", "index", "cross_encoder", "budget_ms"}
_STAGE = {"retriever", "reranker", "fuse", "lists", "k", "weight", "budget_ms"}


@dataclass(frozen=True)
class Config:
    """What a configuration says.

    Attributes:
        text: the pipeline's string form.
        index: the folder of the index, or None.
        options: arguments of ``Pipeline``.
    """

    text: str
    index: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)


def read_config(config: str | Path | Mapping[str, Any]) -> Config:
    """Read a TOML file, or a dict of the same form: ``Pipeline.from_config`` tells more."""
    if isinstance(config, Mapping):
        return _read(config, Path(), "the configuration")
    path = Path(config)
    try:
        with path.open("rb") as file:
            return _read(tomllib.load(file), path.parent, str(path))
    except FileNotFoundError:
        raise SourceNotFound(f"there is no file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{path} is not TOML: {error}") from None


def _read(table: Mapping[str, Any], folder: Path, where: str) -> Config:
    _require_known(table, _TOP, where)
    if ("pipeline" in table) == ("stages" in table):
        raise InvalidParameter(f"{where} must have either pipeline, a string, or stages, a list of tables")
    if "pipeline" in table:
        text: str = _of_type(table, "pipeline", str, where)
    else:
        text = " > ".join(
            _stage(stage, f"{where}: stages[{place}]") for place, stage in _tables(table, "stages", where)
        )
    options = {}
    if "cross_encoder" in table:
        given: str = _of_type(table, "cross_encoder", str, where)
        options["cross_encoder"] = _path(given, folder)
    if "budget_ms" in table:
        options["budget_ms"] = table["budget_ms"]
    index = folder / _of_type(table, "index", str, where) if "index" in table else None
    return Config(text, index, options)


def _stage(stage: Mapping[str, Any], where: str) -> str:
    """A table as it is written in the string form, which is then checked as any other string."""
    _require_known(stage, _STAGE, where)
    kinds = [kind for kind in ("retriever", "reranker", "fuse") if kind in stage]
    if len(kinds) != 1:
        raise InvalidParameter(
            f"{where} must have one of retriever, reranker and fuse, not {kinds or 'none'}"
        )
    text: str = _of_type(stage, kinds[0], str, where)
    if kinds[0] == "fuse":
        lists = [_stage(each, f"{where}.lists[{place}]") for place, each in _tables(stage, "lists", where)]
        text += f"({', '.join(lists)})"
    elif "lists" in stage:
        raise InvalidParameter(f"{where} has lists, which belong to fuse")
    if "k" in stage:
        text += f":{_of_type(stage, 'k', int, where)}"
    if "weight" in stage:
        text += f"*{number(_of_type(stage, 'weight', (int, float), where))}"
    if "budget_ms" in stage:
        text += f"@{number(_of_type(stage, 'budget_ms', (int, float), where))}ms"
    return text


def _tables(table: Mapping[str, Any], name: str, where: str) -> list[tuple[int, Mapping[str, Any]]]:
    found = _of_type(table, name, list, where) if name in table else []
    if not found or not all(isinstance(each, Mapping) for each in found):
        raise InvalidParameter(f"{where}: {name} must be a list of tables, at least one")
    return list(enumerate(found))


def _of_type(table: Mapping[str, Any], name: str, kind: Any, where: str) -> Any:
    value = table[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = {str: "a string", int: "a whole number", list: "a list"}.get(kind, "a number")
        raise InvalidParameter(f"{where}: {name} must be {wanted}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidParameter(f"{where}: {name} must be a finite number, not {value!r}")
    return value


def _require_known(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise InvalidParameter(f"{where}: {unknown[0]!r} is unknown; known are {', '.join(sorted(known))}")


def _path(name: str, folder: Path) -> str | Path:
    """A folder beside the file; else as it is: a name on the hub."""
    beside = folder / name
    return beside if beside.exists() else name
