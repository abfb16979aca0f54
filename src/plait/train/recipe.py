"""A recipe: one TOML file that says everything about how a model is made. Loads no torch.

Every table and key is optional but ``[data] documents`` or ``pairs``, and ``[base] model``. Paths are
relative to the recipe. See docs/training.md for one with explanations.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plait.errors import InvalidParameter, SourceNotFound
from plait.train.false_negatives import Margin
from plait.train.identities import BUILTIN
from plait.train.negatives import SOURCES, Mining, Source
from plait.train.queries import Generation
from plait.train.settings import TrainSettings, settings_from

METRICS = ("nDCG@10", "MRR@10", "Recall@100")
#: The name of the test set that every recipe has.
HELD_OUT = "held out"
#: Share of the groups that choose the best weights of a training run.
VALIDATION = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is trained on.

    Attributes:
        documents: a source of documents. Alone, queries are made of it (``generation``).
        pairs: JSON lines with query and positive.
        queries, qrels: of the documents, if there are labels.
        test_qrels: judgements of further queries, to test; else some of ``qrels`` are held out.
        skip_bad_lines: leave broken documents out.
        generation: how queries are made, and what is held out.
    """

    documents: Path | None = None
    pairs: Path | None = None
    queries: Path | None = None
    qrels: Path | None = None
    test_qrels: Path | None = None
    skip_bad_lines: bool = False
    generation: Generation = field(default_factory=Generation)

    def __post_init__(self) -> None:
        """Raise InvalidParameter for what does not belong together."""
        if self.documents is None and self.pairs is None:
            raise InvalidParameter("[data] needs documents, or pairs")
        if (self.queries is None) != (self.qrels is None):
            raise InvalidParameter("[data] queries and qrels belong together")
        if self.queries is not None and self.documents is None:
            raise InvalidParameter("[data] queries and qrels need documents")
        if self.queries is not None and self.pairs is not None:
            raise InvalidParameter("[data] takes pairs, or queries and qrels, not both")
        if self.test_qrels is not None and self.qrels is None:
            raise InvalidParameter("[data] test_qrels needs queries and qrels")

    def sources(self) -> list[Path]:
        """All files that are read."""
        named = (self.documents, self.pairs, self.queries, self.qrels, self.test_qrels)
        return [path for path in named if path is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSet:
    """A further test collection, on which every round is measured.

    Attributes:
        name: in the report.
        documents, queries, qrels: its files.
    """

    name: str
    documents: Path
    queries: Path
    qrels: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a model is made.

    Attributes:
        name: of the model.
        data: what it is trained on.
        base: the model that training starts from; a folder, a name on the hub, or "builtin".
        start: what the new model is measured against, and the first negatives are mined with: "builtin",
            "base" (the base as the system, before training), or a checkpoint.
        rounds: how often the loop is run; from the second on negatives are mined with the model of the one
            before.
        carry_on: train each round on from the one before, not from the base.
        mining: how negatives are found.
        judge: a teacher for the margins of mining, as ``load_teacher`` takes it.
        teachers, weights, normalise: who scores the groups; nobody, if empty.
        training: what ``train`` is told.
        validation: share of the groups, or how many, that choose the best weights.
        int8: whether weights of the converted model are in 8 bits.
        metrics: in the report.
        sets: further test collections.
    """

    name: str
    data: Data
    base: str
    start: str = BUILTIN
    rounds: int = 1
    carry_on: bool = False
    mining: Mining = field(default_factory=Mining)
    judge: str | None = None
    teachers: Sequence[str] = ()
    weights: Sequence[float] | None = None
    normalise: str | None = None
    training: TrainSettings = field(default_factory=TrainSettings)
    validation: float | int = VALIDATION
    int8: bool = True
    metrics: Sequence[str] = METRICS
    sets: Sequence[TestSet] = ()

    def __post_init__(self) -> None:
        """Raise InvalidParameter for what does not belong together."""
        if self.rounds < 1:
            raise InvalidParameter(f"rounds must be at least 1, not {self.rounds}")
        if self.training.system == "cross-encoder":
            raise InvalidParameter(
                "a recipe makes a model that searches, and a cross-encoder does not: `plait train` makes one"
            )
        if self.training.distillation and not self.teachers:
            raise InvalidParameter("[train] distillation needs a teacher: name one in [score] teachers")
        names = [one.name for one in self.sets]
        if len(set(names)) < len(names) or HELD_OUT in names:
            raise InvalidParameter(f"test sets need names of their own, and none is {HELD_OUT!r}: {names}")


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises:
        SourceNotFound: there is no such file, or a file that it names is not there.
        InvalidParameter: it is not valid TOML, or a table, key or value can't be used.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceNotFound(f"{path}: there is no such file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{path}: not valid TOML: {error}") from None
    try:
        return _Reader(values, path).recipe()
    except (InvalidParameter, TypeError, ValueError, AttributeError) as error:  # such as a text for a number
        raise InvalidParameter(f"{path}: {error}") from None


class _Reader:
    """Takes a recipe's tables apart."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self.path = path
        self.folder = path.parent
        self.top = dict(values)
        known = ("name", "seed", "data", "base", "loop", "mine", "score", "train", "convert", "evaluate")
        _require_known(self.top, known, "the recipe")
        self.seed = int(self.top.get("seed", 0))

    def recipe(self) -> Recipe:
        """All of it."""
        base = self.table("base", ("model", "start"))
        if not isinstance(base.get("model"), str):
            raise InvalidParameter("[base] model must name the model that training starts from")
        loop = self.table("loop", ("rounds", "carry_on"))
        score = self.table("score", ("teachers", "weights", "normalise"))
        mine = self.table("mine", ("sources", "margin", "share", "near_duplicate", "pick", "fill", "judge"))
        train = dict(self.table("train", None))
        validation = train.pop("validation", VALIDATION)
        evaluate = self.table("evaluate", ("metrics", "sets"))
        start = base.get("start", BUILTIN)
        return Recipe(
            name=str(self.top.get("name", self.path.stem)),
            data=self.data(),
            base=self.model(base["model"]),
            start=start if start in (BUILTIN, "base") else self.model(start),
            mining=self.mining(mine),
            judge=None if mine.get("judge") is None else self.teacher(mine["judge"]),
            teachers=tuple(self.teacher(name) for name in score.get("teachers", ())),
            weights=score.get("weights"),
            normalise=score.get("normalise"),
            training=settings_from({"seed": self.seed, **train}),
            validation=validation,
            sets=tuple(self.test_set(one) for one in evaluate.get("sets", ())),
            metrics=tuple(evaluate.get("metrics", METRICS)),
            int8=self.table("convert", ("int8",)).get("int8", True),
            rounds=loop.get("rounds", 1),
            carry_on=loop.get("carry_on", False),
        )

    def table(self, name: str, known: Sequence[str] | None) -> dict[str, Any]:
        """One table, whose keys are all known."""
        found = self.top.get(name, {})
        if not isinstance(found, Mapping):
            raise InvalidParameter(f"{name} must be a table: [{name}]")
        if known is not None:
            _require_known(found, known, f"[{name}]")
        return dict(found)

    def data(self) -> Data:
        """What is trained on."""
        paths = ("documents", "pairs", "queries", "qrels", "test_qrels")
        made = ("kinds", "per_document", "keep", "held_out")
        found = self.table("data", (*paths, *made, "skip_bad_lines"))
        generation = {name: found.pop(name) for name in made if name in found}
        skip = bool(found.pop("skip_bad_lines", False))
        files = {name: self.file(value) for name, value in found.items()}
        return Data(**files, skip_bad_lines=skip, generation=Generation(seed=self.seed, **generation))

    def mining(self, mine: Mapping[str, Any]) -> Mining:
        """How negatives are found."""
        rest = {name: mine[name] for name in ("near_duplicate", "pick", "fill") if name in mine}
        sources = tuple(Source.parse(text) for text in mine["sources"]) if "sources" in mine else SOURCES
        return Mining(sources, Margin(mine.get("margin"), mine.get("share")), seed=self.seed, **rest)

    def test_set(self, values: Mapping[str, Any]) -> TestSet:
        """One of ``[[evaluate.sets]]``: a folder in BEIR's form, or three files."""
        _require_known(values, ("name", "folder", "documents", "queries", "qrels"), "[[evaluate.sets]]")
        named = {part: values.get(part, values.get("folder")) for part in ("documents", "queries", "qrels")}
        if None in named.values() or "name" not in values:
            raise InvalidParameter(
                "[[evaluate.sets]] needs a name, and a folder or documents, queries and qrels"
            )
        return TestSet(name=values["name"], **{part: self.file(value) for part, value in named.items()})

    def file(self, value: Any) -> Path:
        """A file or folder that is there."""
        if not isinstance(value, str):
            raise InvalidParameter(f"a path must be a string, not {value!r}")
        path = self.folder / value
        if not path.exists():
            raise SourceNotFound(f"{self.path}: names {path}, and there is no such file or folder")
        return path

    def model(self, value: str) -> str:
        """A folder next to the recipe, or else a name."""
        path = self.folder / value
        return str(path) if path.exists() else value

    def teacher(self, value: str) -> str:
        """``KIND`` or ``KIND:PATH`` with the path as seen from here."""
        kind, colon, path = str(value).partition(":")
        return f"{kind}{colon}{self.model(path) if path else ''}"


def _require_known(values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in values:
        if key not in known:
            raise InvalidParameter(f"unknown key {key!r} in {where}; known are {', '.join(known)}")


def as_values(value: Any) -> Any:
    """A setting, or a dataclass of settings, as JSON holds it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_values(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [as_values(one) for one in value]
    return str(value) if isinstance(value, Path) else value
