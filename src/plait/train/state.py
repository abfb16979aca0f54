"""A run on disk: what it was told, and all it takes to go on after it was stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from plait.errors import CheckpointError, InvalidParameter
from plait.train.groups import Group
from plait.train.settings import TrainSettings

RUN = "training"
"""The folder, inside that of the system, which a run writes to."""
START = "start"
SETTINGS = "settings.json"
STATE = "state.pt"


def describe(
    settings: TrainSettings, base: str, train: Sequence[Group], held_out: Sequence[Group]
) -> dict[str, Any]:
    """What decides the outcome of a run, as JSON values."""
    return {
        "base": base,
        "groups": len(train),
        "groups_hash": _hash(train),
        "held_out": len(held_out),
        "held_out_hash": _hash(held_out),
        "settings": dataclasses.asdict(settings),
    }


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write ``settings.json``."""
    (folder / SETTINGS).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def require_same(folder: Path, description: dict[str, Any]) -> None:
    """Refuse to go on with other settings, groups or another base: nobody could say what came out.

    Raises:
        InvalidParameter: something differs; it is named.
    """
    path = folder / SETTINGS
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidParameter(f"{path}: can't be read, so the run can't be resumed ({error})") from None
    known = _flat(before)
    for name, value in _flat(description).items():
        if known.get(name) != value:
            raise InvalidParameter(
                f"{name} is {value!r}, but the run in {folder} was started with {known.get(name)!r}; "
                f"give the same, or train into another folder"
            )


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state; a run that is killed meanwhile keeps the one before."""
    unfinished = folder / (STATE + ".part")
    torch.save(state, unfinished)
    unfinished.replace(folder / STATE)


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read the state, without running what could be in the file; None if the run has none yet."""
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise CheckpointError(f"{path}: can't be read ({error}); train again without resume") from None
    return state


def _flat(description: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in description.items() if name != "settings"}
    return {**rest, **description.get("settings", {})}


def _hash(groups: Sequence[Group]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for group in groups:
        digest.update(repr((group.query, group.documents, group.scores)).encode())
    return digest.hexdigest()
