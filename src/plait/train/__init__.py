"""Training: groups of a query and its documents -> a checkpoint that plait loads.

What needs torch is imported when it is called: ``pip install 'plait[train]'``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.train.groups import Group as Group
    from plait.train.groups import read_groups as read_groups
    from plait.train.groups import split_groups as split_groups
    from plait.train.groups import write_groups as write_groups
    from plait.train.settings import TrainSettings as TrainSettings
    from plait.train.systems import load_system as load_system
    from plait.train.training import Trained as Trained
    from plait.train.training import train as train

_HOMES = {
    "Group": "groups",
    "read_groups": "groups",
    "split_groups": "groups",
    "write_groups": "groups",
    "TrainSettings": "settings",
    "Trained": "training",
    "train": "training",
    "load_system": "systems",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'plait.train' has no attribute {name!r}")
    return getattr(import_module(f"plait.train.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
