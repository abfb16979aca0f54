"""A recipe, run: queries -> index -> negatives -> scores -> training -> conversion -> evaluation, in rounds.

Each arrow is a step (``steps.Steps``): after an interruption, or a change of the recipe, only what is not
there or depends on the change is done.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plait.encoder import Encoder, convert, load_encoder
from plait.evaluate import Qrels, depth, judged_queries, read_qrels, run_of
from plait.index import Index
from plait.sources import read_documents, read_queries
from plait.train.hashing import hash_files, hash_of
from plait.train.identities import BUILTIN, identity_of_model, identity_of_teacher
from plait.train.mining import mine
from plait.train.preparation import judged_corpus
from plait.train.recipe import HELD_OUT, Recipe, TestSet, as_values
from plait.train.report import Report, write_report
from plait.train.score_cache import RememberedTeacher, ScoreCache
from plait.train.scoring import score
from plait.train.steps import Done, Notice, Steps, alone
from plait.train.teachers import IndexTeacher, Teacher, load_teacher
from plait.types import Progress

#: Of what training writes, what is no part of the model.
LOGS = "training"


def run_recipe(
    recipe: Recipe,
    folder: str | Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> Report:
    """Run a recipe, or what is left of it.

    Args:
        recipe: as ``read_recipe`` gives it.
        folder: where everything is written. ``report.md`` says what came out, ``model`` is what
            ``Index.create`` takes, and ``round-N`` holds what each round made.
        threads: of mining, scoring and searching; None for all cores.
        progress: called with a stage, how much of it is done, and how much there is.
        notice: called with each step's name, "begun", "done" or "unchanged", and its seconds.

    Raises:
        MissingExtra: ``plait[train]`` is not installed.
        InvalidParameter: another process works in the folder.
        PlaitError: as the steps raise it. What was done stays, and the next run goes on from there.
    """
    from plait.train.systems import require_torch

    require_torch()
    with alone(Path(folder)):
        return _Run(recipe, Path(folder), threads, progress, notice).go()


class _Run:
    """The steps of one recipe in one folder."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        threads: int | None,
        progress: Progress | None,
        notice: Notice | None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.threads = threads
        self.progress = progress
        self.steps = Steps(folder, notice)
        self.done: dict[str, Done] = {}
        self.sets: dict[str, TestSet] = {}

    def go(self) -> Report:
        """All rounds."""
        data = self.prepare()
        held_out = TestSet(
            name=HELD_OUT,
            documents=self.folder / "data",
            queries=self.folder / "data",
            qrels=self.folder / "data" / "qrels" / "test.tsv",
        )
        self.sets = {one.name: one for one in (held_out, *self.recipe.sets)}
        runs = [self.measure(0, self.start(), data)]
        runs += [self.round(number, data) for number in range(1, self.recipe.rounds + 1)]
        model = self._model(self.recipe.rounds)
        self._publish(model)
        report = Report(
            self.recipe,
            {name: read_qrels(one.qrels) for name, one in self.sets.items()},
            runs,
            self.done,
            self._start_name(),
        )
        write_report(self.folder, report)
        return report

    # ---- the steps -------------------------------------------------------------------------------------

    def prepare(self) -> Done:
        """The corpus, its queries and judgements, in BEIR's form."""
        data = self.recipe.data
        inputs = [
            data.skip_bad_lines,
            as_values(data.generation),
            [hash_files(one) for one in data.sources()],
        ]
        return self._do("data", inputs, [self.folder / "data"], self._prepare)

    def _prepare(self) -> dict[str, Any]:
        corpus, counts = judged_corpus(self.recipe)
        new = self.folder / "data.part"
        shutil.rmtree(new, ignore_errors=True)
        corpus.write(new)
        new.replace(self.folder / "data")
        return {
            "documents": len(corpus.documents),
            **{name: count for name, count in counts.items() if name != "documents"},
            "queries to train": len(corpus.qrels["train"]),
            "queries to test": len(corpus.qrels["test"]),
        }

    def start(self) -> Done | None:
        """The base as the system that is to be trained, if that is what the new model is measured against."""
        if self.recipe.start != "base":
            return None
        from plait.train.systems import start_system

        folder = self.folder / "round-0" / "checkpoint"

        def work() -> dict[str, Any]:
            folder.parent.mkdir(exist_ok=True)
            start_system(self.recipe.base, self.recipe.training, folder)
            return {}

        inputs = [identity_of_model(self.recipe.base), as_values(self.recipe.training)]
        done = self._do("start-0", inputs, [folder], work)
        return self._convert(0, done)

    def round(self, number: int, data: Done) -> dict[str, Any]:
        """Mine with the model of the round before, score, train, convert, measure."""
        folder = self.folder / f"round-{number}"
        folder.mkdir(exist_ok=True)
        mined = self._mine(number, data)
        scored = self._score(number, mined) if self.recipe.teachers else mined
        trained = self._train(number, scored)
        return self.measure(number, self._convert(number, trained), data)

    def _mine(self, number: int, data: Done) -> Done:
        output = self.folder / f"round-{number}" / "groups.jsonl"
        recipe = self.recipe

        def work() -> dict[str, Any]:
            output.unlink(missing_ok=True)
            queries = read_queries(self.folder / "data")
            qrels = read_qrels(self.folder / "data" / "qrels" / "train.tsv")
            with self._index(number - 1, HELD_OUT) as index, self._cache() as cache:
                teacher = load_teacher(recipe.judge, self.threads) if recipe.judge else None
                report = mine(
                    index,
                    queries,
                    qrels,
                    output,
                    recipe.mining,
                    judge=RememberedTeacher(teacher, cache) if teacher else None,
                    threads=self.threads,
                    progress=self.progress,
                )
            return dataclasses.asdict(report)

        index = self.done[f"index-{number - 1} {HELD_OUT}"]
        judge = identity_of_teacher(recipe.judge) if recipe.judge else None
        inputs = [data.identity, index.identity, as_values(recipe.mining), judge]
        remains = output.with_name(f"{output.name}.part.jsonl")
        return self._do(f"mine-{number}", inputs, [output], work, remains=[remains])

    def _score(self, number: int, mined: Done) -> Done:
        folder = self.folder / f"round-{number}"
        output = folder / "scored.jsonl"
        recipe = self.recipe

        def work() -> dict[str, Any]:
            output.unlink(missing_ok=True)
            report = score(
                folder / "groups.jsonl",
                output,
                [self._teacher(name, number) for name in recipe.teachers],
                weights=recipe.weights,
                normalise=recipe.normalise,
                cache=self.folder / "scores.sqlite",
                progress=self.progress,
            )
            return dataclasses.asdict(report)

        teachers = [identity_of_teacher(name) for name in recipe.teachers]
        inputs = [mined.identity, teachers, recipe.weights, recipe.normalise]
        return self._do(f"score-{number}", inputs, [output], work)

    def _train(self, number: int, groups: Done) -> Done:
        folder = self.folder / f"round-{number}"
        checkpoint = folder / "checkpoint"
        source = folder / ("scored.jsonl" if self.recipe.teachers else "groups.jsonl")
        base = self.recipe.base
        if self.recipe.carry_on and number > 1:
            base = str(self.folder / f"round-{number - 1}" / "checkpoint")

        def work() -> dict[str, Any]:
            from plait.train.training import train

            trained = train(
                source,
                checkpoint,
                model=base,
                held_out=self.recipe.validation,
                cache=self.folder / "frozen" if self.recipe.training.frozen_layers is not None else None,
                resume=True,
                progress=self.progress,
                settings=self.recipe.training,
            )
            return {"steps": trained.steps, "ndcg": trained.ndcg, "first ndcg": trained.first_ndcg}

        how = [as_values(self.recipe.training), self.recipe.validation]
        inputs = [groups.identity, identity_of_model(base), *how]
        return self._do(f"train-{number}", inputs, [checkpoint], work)

    def _convert(self, number: int, trained: Done) -> Done:
        """ONNX, for ColBERT; the other systems are run by torch."""
        if self.recipe.training.system != "colbert":
            return trained
        folder = self.folder / f"round-{number}"

        def work() -> dict[str, Any]:
            convert(folder / "checkpoint", folder / "model", int8=self.recipe.int8)
            return {"bytes": (folder / "model" / "model.onnx").stat().st_size}

        inputs = [trained.identity, self.recipe.int8]
        return self._do(f"convert-{number}", inputs, [folder / "model"], work)

    def measure(self, number: int, model: Done | None, data: Done) -> dict[str, Any]:
        """Index each test set with the model, search it, and keep what was found."""
        found = {}
        for name, test in self.sets.items():
            place = self.folder / f"round-{number}" / name.replace(" ", "-")
            place.mkdir(parents=True, exist_ok=True)
            texts = data.identity if name == HELD_OUT else hash_files(test.documents)
            identity = model.identity if model else identity_of_model(self._start_path())
            index = self._do(
                f"index-{number} {name}",
                [texts, identity, version("plait")],
                [place / "index"],
                lambda place=place, test=test: self._build(number, place, test),
                content=lambda texts=texts, identity=identity: hash_of(texts, identity),
            )
            asked = "" if name == HELD_OUT else hash_files(test.queries)
            inputs = [index.identity, asked, hash_files(test.qrels), list(self.recipe.metrics)]
            self._do(
                f"search-{number} {name}",
                inputs,
                [place / "run.json"],
                lambda place=place, test=test, name=name: self._search(number, place, test, name),
            )
            found[name] = json.loads((place / "run.json").read_text(encoding="utf-8"))
        return found

    def _build(self, number: int, place: Path, test: TestSet) -> dict[str, Any]:
        shutil.rmtree(place / "index", ignore_errors=True)
        new = place / "index.part"
        shutil.rmtree(new, ignore_errors=True)
        with Index.create(new, model=self._encoder(number)) as index:
            added = index.add(
                iter(read_documents(test.documents, skip_bad_lines=self.recipe.data.skip_bad_lines)),
                threads=self.threads,
                progress=self.progress,
            )
        new.replace(place / "index")
        return {"documents": added}

    def _search(self, number: int, place: Path, test: TestSet, name: str) -> dict[str, Any]:
        qrels: Qrels = read_qrels(test.qrels)
        queries = judged_queries(read_queries(test.queries), qrels)
        with self._index(number, name) as index:
            k = depth(self.recipe.metrics)
            hits = index.search_all(list(queries.values()), k, threads=self.threads, progress=self.progress)
        run = run_of(queries, hits)
        new = place / "run.part"
        new.write_text(json.dumps(run), encoding="utf-8")
        new.replace(place / "run.json")
        return {"queries": len(queries)}

    # ---- models ----------------------------------------------------------------------------------------

    def _start_path(self) -> str:
        return "" if self.recipe.start == BUILTIN else self.recipe.start

    def _start_name(self) -> str:
        names = {BUILTIN: "the built-in model", "base": "the base, before training"}
        return names.get(self.recipe.start, Path(self.recipe.start).name)

    def _model(self, number: int) -> Path:
        part = "model" if self.recipe.training.system == "colbert" else "checkpoint"
        return self.folder / f"round-{number}" / part

    def _encoder(self, number: int) -> Encoder:
        """The model that a round made; that of round 0 is the one to be bettered."""
        if number == 0 and self.recipe.start != "base":
            return load_encoder(self._start_path() or None)
        if self.recipe.training.system == "colbert":
            return load_encoder(self._model(number))
        from plait.train.systems import load_system

        return load_system(self._model(number))

    def _index(self, number: int, name: str) -> Index:
        place = self.folder / f"round-{number}" / name.replace(" ", "-")
        return Index.open(place / "index", model=self._encoder(number))

    def _teacher(self, name: str, number: int) -> Teacher:
        """BM25 without a path is that of the corpus."""
        if name == "bm25":
            return IndexTeacher(self._index(number - 1, HELD_OUT))
        return load_teacher(name, self.threads)

    def _cache(self) -> ScoreCache:
        return ScoreCache(self.folder / "scores.sqlite")

    def _publish(self, model: Path) -> None:
        """The last round's model under a name that stays."""
        target, new = self.folder / "model", self.folder / "model.part"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(model, new, ignore=shutil.ignore_patterns(LOGS))
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)

    def _do(self, name: str, *args: Any, **options: Any) -> Done:
        done = self.steps.do(name, *args, **options)
        self.done[name] = done
        return done
