"""Recipes: what is read and refused, steps that are done once, and a run from documents to a better model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plait.errors import InvalidParameter, SourceNotFound
from plait.train import read_recipe, run_recipe
from plait.train.recipe import HELD_OUT
from plait.train.steps import Steps, alone

from .conftest import PLACES, THINGS

RECIPE = """
name = "tiny"
[data]
documents = "docs.jsonl"
held_out = 8
[base]
model = "base"
start = "base"
[mine]
sources = ["colbert:1:2-20", "random:1"]
[score]
teachers = ["colbert"]
[train]
dim = 16
query_length = 8
document_length = 16
distillation = 0.5
batch_size = 8
learning_rate = 2e-3
steps = 80
validation = 4
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe beside documents with titles; the base is a name only."""
    records = [
        {"title": f"{place} {thing}", "text": f"the {thing} is in the {place} , as everybody knows ."}
        for thing in THINGS
        for place in PLACES
    ]
    lines = [json.dumps({"_id": str(number), **record}) + "\n" for number, record in enumerate(records)]
    (tmp_path / "docs.jsonl").write_text("".join(lines))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


# ---- reading ---------------------------------------------------------------------------------------------


def test_a_recipe_is_read(recipe: Path):
    found = read_recipe(recipe)
    assert (found.name, found.base, found.rounds, found.int8) == ("tiny", "base", 1, True)
    assert found.data.documents == recipe.parent / "docs.jsonl"
    assert [source.ranks for source in found.mining.sources] == [(2, 20), (10, 100)]
    assert (found.training.dim, found.training.steps, found.validation) == (16, 80, 4)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[data]", "[date]", r"unknown key 'date' in the recipe"),
        ("held_out", "heldout", r"unknown key 'heldout' in \[data\]"),
        ("held_out = 8", "held_out = -1", r"held_out"),
        ('documents = "docs.jsonl"', "", r"needs documents, or pairs"),
        ('documents = "docs.jsonl"', 'documents = "docs.jsonl"\nqueries = "docs.jsonl"', r"belong together"),
        ('model = "base"', "", r"\[base\] model must name"),
        ("colbert:1:2-20", "colbert:1:20-2", r"ranks"),
        ('["colbert"]', "[]", r"distillation needs a teacher"),
        ("batch_size", "batchsize", r"unknown setting 'batchsize'"),
        ("dim = 16", 'system = "cross-encoder"', r"a cross-encoder does not"),
        ("dim = 16", "dim = ", r"not valid TOML"),
        ("[train]", '[loop]\nrounds = "two"\n[train]', r"not supported between"),
        ("[train]", "[loop]\nrounds = 0\n[train]", r"rounds must be at least 1"),
        ("[train]", '[evaluate]\nsets = [{name = "x"}]\n[train]', r"needs a name, and a folder"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_name(recipe: Path, old: str, new: str, said: str):
    recipe.write_text(RECIPE.replace(old, new))
    with pytest.raises(InvalidParameter, match=said) as raised:
        read_recipe(recipe)
    assert str(raised.value).startswith(str(recipe))


def test_files_that_are_not_there(recipe: Path):
    recipe.write_text(RECIPE.replace("docs.jsonl", "dogs.jsonl"))
    with pytest.raises(SourceNotFound, match=r"names .*dogs\.jsonl"):
        read_recipe(recipe)
    with pytest.raises(SourceNotFound):
        read_recipe(recipe.with_name("recept.toml"))


# ---- steps -----------------------------------------------------------------------------------------------


class Work:
    """Writes a file, and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.steps = Steps(folder)
        self.output = folder / "made.txt"
        self.remains = folder / "remains.txt"
        self.calls = 0

    def __call__(self, inputs: object, fail: bool = False) -> dict:
        def work() -> dict:
            self.calls += 1
            self.found = self.remains.exists()
            self.remains.touch()
            if fail:
                raise KeyboardInterrupt
            self.output.write_text(str(inputs))
            self.remains.unlink()
            return {"inputs": inputs}

        return self.steps.do("step", inputs, [self.output], work, remains=[self.remains]).result


def test_a_step_is_done_once_for_the_same_inputs(tmp_path: Path):
    work = Work(tmp_path)
    assert [work(1), work(1), work(2), work(2)] == [{"inputs": n} for n in (1, 1, 2, 2)]
    assert work.calls == 2
    work.output.unlink()
    work(2)
    assert work.calls == 3


def test_a_step_cut_off_finds_its_remains_and_no_others(tmp_path: Path):
    work = Work(tmp_path)
    for inputs, found in ((1, False), (1, True), (2, False)):
        with pytest.raises(KeyboardInterrupt):
            work(inputs, fail=True)
        assert work.found is found
    assert work(2) == {"inputs": 2}
    assert work.found


def test_what_somebody_changed_is_not_lost(tmp_path: Path):
    work = Work(tmp_path)
    work(1)
    work.output.write_text("edited")
    with pytest.raises(InvalidParameter, match="was changed after the step 'step' made it"):
        work(1)
    assert work.output.read_text() == "edited"


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom plait.train.steps import alone\n"
        "with alone(Path(sys.argv[1])): pass"
    )
    other = [sys.executable, "-c", script, str(tmp_path)]
    with alone(tmp_path):
        refused = subprocess.run(other, capture_output=True, text=True, check=False)
    assert "is being worked in by another process" in refused.stderr
    subprocess.run(other, check=True)


# ---- the loop --------------------------------------------------------------------------------------------


def test_a_recipe_makes_a_better_model_and_goes_on_where_it_was(recipe: Path, base: Path):
    folder = recipe.parent / "run"
    recipe.write_text(RECIPE.replace('model = "base"', f'model = "{base}"'))
    events: list[tuple[str, str]] = []

    def notice(name: str, state: str, seconds: float) -> None:
        events.append((name, state))

    def stop_at(step: str):
        def stop(name: str, state: str, seconds: float) -> None:
            if (name, state) == (step, "begun"):
                raise KeyboardInterrupt

        return stop

    for step in ("mine-1", "train-1", "search-1 held out"):
        with pytest.raises(KeyboardInterrupt):
            run_recipe(read_recipe(recipe), folder, notice=stop_at(step))
        assert not (folder / "report.md").exists()
    report = run_recipe(read_recipe(recipe), folder, notice=notice)
    assert [name for name, state in events if state == "done"] == ["search-1 held out"]
    gain = report.gain
    assert gain.nqueries == 8
    assert gain.difference > 0.1
    page = (folder / "report.md").read_text()
    assert f"| round 1 | {gain.mean:.4f} |" in page
    assert f"- nDCG@10: {gain.difference:+.4f} (95% interval" in page
    values = json.loads((folder / "report.json").read_text())
    assert values["rounds"][HELD_OUT][1]["nDCG@10"] == gain.mean
    assert values["steps"]["mine-1"]["negatives"]["colbert"] > 0
    assert (folder / "rounds.csv").read_text().count("\n") == 3
    assert (folder / "rounds.svg").read_text().startswith("<svg")
    assert (folder / "round-1" / "checkpoint" / "training" / "log.csv").exists()

    events.clear()
    run_recipe(read_recipe(recipe), folder, notice=notice)
    assert {state for _, state in events} == {"unchanged"}

    events.clear()
    recipe.write_text(recipe.read_text() + "[convert]\nint8 = false\n[loop]\nrounds = 2\n")
    again = run_recipe(read_recipe(recipe), folder, notice=notice)
    done = [name for name, state in events if state == "done"]
    assert done[:3] == ["convert-0", "index-0 held out", "search-0 held out"]
    assert "train-2" in done
    assert "train-1" not in done or "mine-1" in done  # f32 finds other negatives than int8, or the same
    assert len(again.runs) == 3


def test_the_model_is_what_an_index_takes(recipe: Path, base: Path):
    import plait

    recipe.write_text(
        RECIPE.replace('model = "base"', f'model = "{base}"').replace("steps = 24", "steps = 2")
    )
    run_recipe(read_recipe(recipe), recipe.parent / "run")
    with plait.Index.create(recipe.parent / "index", model=recipe.parent / "run" / "model") as index:
        index.add(["the river is in the north", "the castle is in the south"])
        assert len(index.search("river", 2)) == 2
    assert not (recipe.parent / "run" / "model" / "training").exists()


def test_other_systems_are_run_by_torch(recipe: Path, base: Path):
    text = RECIPE.replace('model = "base"', f'model = "{base}"').replace("dim = 16", 'system = "bi-encoder"')
    recipe.write_text(text)
    report = run_recipe(read_recipe(recipe), recipe.parent / "run")
    assert report.gain.nqueries == 8
    assert report.gain.mean > 0
