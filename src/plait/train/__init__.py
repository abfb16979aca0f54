"""Training: groups of a query and its documents -> a checkpoint that plait loads.

What needs torch is imported when it is called: ``pip install 'plait[train]'``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.train.attention import attention_search as attention_search
    from plait.train.false_negatives import Margin as Margin
    from plait.train.groups import Group as Group
    from plait.train.groups import read_groups as read_groups
    from plait.train.groups import split_groups as split_groups
    from plait.train.groups import write_groups as write_groups
    from plait.train.judged import JudgedCorpus as JudgedCorpus
    from plait.train.judged import corpus_of_pairs as corpus_of_pairs
    from plait.train.judged import read_pairs as read_pairs
    from plait.train.mining import MiningReport as MiningReport
    from plait.train.mining import mine as mine
    from plait.train.negatives import Mining as Mining
    from plait.train.negatives import Source as Source
    from plait.train.queries import Generation as Generation
    from plait.train.queries import generate_queries as generate_queries
    from plait.train.recipe import Recipe as Recipe
    from plait.train.recipe import read_recipe as read_recipe
    from plait.train.report import Report as Report
    from plait.train.rounds import run_recipe as run_recipe
    from plait.train.scoring import ScoringReport as ScoringReport
    from plait.train.scoring import score as score
    from plait.train.settings import TrainSettings as TrainSettings
    from plait.train.systems import load_system as load_system
    from plait.train.teachers import Teacher as Teacher
    from plait.train.teachers import load_teacher as load_teacher
    from plait.train.training import Trained as Trained
    from plait.train.training import train as train

_HOMES = {
    "Generation": "queries",
    "Group": "groups",
    "JudgedCorpus": "judged",
    "Margin": "false_negatives",
    "Mining": "negatives",
    "MiningReport": "mining",
    "Recipe": "recipe",
    "Report": "report",
    "ScoringReport": "scoring",
    "Source": "negatives",
    "Teacher": "teachers",
    "TrainSettings": "settings",
    "Trained": "training",
    "attention_search": "attention",
    "corpus_of_pairs": "judged",
    "generate_queries": "queries",
    "load_system": "systems",
    "load_teacher": "teachers",
    "mine": "mining",
    "read_groups": "groups",
    "read_pairs": "judged",
    "read_recipe": "recipe",
    "run_recipe": "rounds",
    "score": "scoring",
    "split_groups": "groups",
    "train": "training",
    "write_groups": "groups",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'plait.train' has no attribute {name!r}")
    return getattr(import_module(f"plait.train.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
