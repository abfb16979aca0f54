"""Runs on a tiny network: what is learned and written, and that a run can be repeated and resumed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import plait
from plait.errors import InvalidParameter, SourceNotFound
from plait.train import Group, TrainSettings, load_system, train, write_groups

torch = pytest.importorskip("torch")

from plait.train.batches import batch_of  # noqa: E402
from plait.train.step import backward  # noqa: E402
from plait.train.systems import start_system  # noqa: E402

FAST = {
    "held_out": 8,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "query_length": 8,
    "document_length": 20,
    "steps": 12,
    "validate_every": 4,
}


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in load_system(folder).state_dict().items()}


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def trained(base: Path, groups: list[Group], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ColBERT after 12 steps."""
    folder = tmp_path_factory.mktemp("trained") / "colbert"
    train(groups, folder, model=base, **FAST)
    return folder


def test_plait_loads_what_was_trained(trained: Path, groups: list[Group], tmp_path: Path):
    system, encoder = load_system(trained), plait.load_encoder(trained)
    assert (encoder.dim, encoder.settings.query_length, encoder.settings.document_length) == (128, 8, 20)
    assert encoder.settings.query_expansion
    for name in ("encode_queries", "encode_documents"):
        texts = [group.query for group in groups[:5]] + [groups[0].documents[0]]
        theirs, ours = getattr(system, name)(texts), getattr(encoder, name)(texts)
        assert np.array_equal(theirs.doclens, ours.doclens)
        np.testing.assert_allclose(theirs.vectors, ours.vectors, atol=2e-6)
    plait.encoder.convert(trained, tmp_path / "converted", int8=True)
    query, documents = groups[0].query, list(groups[0].documents)
    vectors = encoder.encode_queries([query])[0]
    expected = [plait.maxsim(vectors, document) for document in encoder.encode_documents(documents)]
    np.testing.assert_allclose(system.score(query, documents), expected, atol=1e-5)
    assert plait.load_encoder(tmp_path / "converted").dim == 128


def test_the_log_tells_loss_and_held_out_ndcg(trained: Path):
    with (trained / "training" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "4", "8", "12"]
    assert float(rows[-1]["loss"]) < float(rows[1]["loss"])
    assert all(0 <= float(row["ndcg@10"]) <= 1 for row in rows)
    for name in ("loss", "ndcg"):
        ET.parse(trained / "training" / f"{name}.svg")
    assert sorted(path.name for path in (trained / "training").iterdir()) == [
        *("log.csv", "loss.svg", "ndcg.svg", "settings.json")
    ]


def test_the_same_run_gives_the_same_weights(trained: Path, base: Path, groups: list[Group], tmp_path: Path):
    write_groups(tmp_path / "groups.jsonl", groups)
    train(tmp_path / "groups.jsonl", tmp_path / "again", model=base, **FAST)
    assert same(trained, tmp_path / "again")
    for name in ("log.csv", "ndcg.svg"):
        written = (trained / "training" / name).read_bytes()
        assert written == (tmp_path / "again" / "training" / name).read_bytes()
    train(groups, tmp_path / "other", model=base, seed=1, **FAST)
    assert not same(trained, tmp_path / "other")


@pytest.mark.parametrize("options", [{}, {"frozen_layers": 1, "cached": True}])
def test_a_stopped_run_goes_on_to_the_same_result(
    base: Path, groups: list[Group], tmp_path: Path, options: dict[str, object]
):
    chosen = {**FAST, "checkpoint_every": 3, **options}
    train(groups, tmp_path / "whole", model=base, **chosen)

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "steps" and done == 8:
            raise RuntimeError("killed")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="killed"):
            train(groups, tmp_path / "parts", model=base, resume=True, progress=kill, **chosen)
    assert not (tmp_path / "parts" / "modules.json").exists()
    result = train(groups, tmp_path / "parts", model=base, resume=True, **chosen)
    assert result.steps == 12
    assert same(tmp_path / "whole", tmp_path / "parts")
    logs = [(tmp_path / name / "training" / "log.csv").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_ctrl_c_leaves_what_resume_goes_on_from(
    trained: Path, base: Path, groups: list[Group], tmp_path: Path
):
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "steps" and done == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # a program in the background may have been told to ignore it
    with pytest.raises(KeyboardInterrupt):
        train(groups, tmp_path / "run", model=base, progress=interrupt, **FAST)
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "run" / "training" / "state.pt").is_file()
    seen = []
    train(
        groups, tmp_path / "run", model=base, resume=True, **FAST,
        progress=lambda stage, done, total: seen.append(done) if stage == "steps" else None,
    )  # fmt: skip
    assert seen == list(range(6, 13))
    assert same(trained, tmp_path / "run")


def test_what_resume_refuses(trained: Path, base: Path, groups: list[Group]):
    before = sorted(path.name for path in trained.rglob("*"))
    for change, named in (
        ({"learning_rate": 1e-3}, "learning_rate is 0.001"),
        ({"held_out": 9}, "groups is 31"),
        ({}, "is complete"),
    ):
        with pytest.raises(InvalidParameter, match=named):
            train(groups, trained, model=base, resume=True, **{**FAST, **change})
    with pytest.raises(InvalidParameter, match="exists already"):
        train(groups, trained, model=base, **FAST)
    assert sorted(path.name for path in trained.rglob("*")) == before


def test_what_can_not_be_trained_leaves_nothing(base: Path, groups: list[Group], tmp_path: Path):
    pairs = [Group(group.query, group.documents[:1]) for group in groups]
    for given, options, error in (
        (pairs, {"distillation": 1.0}, "teacher's scores"),
        (pairs, {"in_batch": False}, "no negatives"),
        (groups, {"frozen_layers": 3}, "the network has 2"),
        (groups, {"document_length": 65}, "the network has 64 positions"),
        (groups, {"system": "splade"}, "system must be one of colbert"),
        (groups, {"lr": 1.0}, "unknown setting 'lr'"),
    ):
        with pytest.raises(InvalidParameter, match=error):
            train(given, tmp_path / "run", model=base, **{**FAST, **options})
        assert not (tmp_path / "run").exists(), options
    with pytest.raises(SourceNotFound):
        train(groups, tmp_path / "run", model=tmp_path / "nothing", **FAST)
    assert not (tmp_path / "run").exists()


def test_a_colbert_is_trained_on_as_it_is(trained: Path, groups: list[Group], tmp_path: Path):
    options = {name: value for name, value in FAST.items() if not name.endswith("length")}
    result = train(groups, tmp_path / "more", model=trained, **options)
    assert plait.load_encoder(tmp_path / "more").settings.query_length == 8
    with (trained / "training" / "log.csv").open() as file:
        last = max(float(row["ndcg@10"]) for row in csv.DictReader(file))
    assert result.first_ndcg == pytest.approx(last, abs=1e-5)


def test_markers_and_expansion_can_be_left_out(base: Path, groups: list[Group], tmp_path: Path):
    plain = {"query_expansion": False, "query_prefix": "", "document_prefix": "", "skip_punctuation": False}
    train(groups, tmp_path / "plain", model=base, dim=16, **{**FAST, **plain, "steps": 1})
    encoder = plait.load_encoder(tmp_path / "plain")
    assert encoder.encode_queries(["north river"])[0].shape == (4, 16)  # [CLS], two words, [SEP]
    assert len(encoder.encode_documents(["the river ."])[0]) == 5


@pytest.mark.parametrize("system", ["colbert", "bi-encoder"])
def test_gradients_are_the_same_with_less_memory(
    base: Path, groups: list[Group], tmp_path: Path, system: str
):
    options = {"bi_encoder": 0.5} if system == "colbert" else {}
    settings = TrainSettings(system=system, distillation=0.5, **options)
    start_system(base, settings, tmp_path / "start")
    found = []
    for cached, tokens in ((False, 4096), (True, 4096), (True, 100)):
        model = load_system(tmp_path / "start").train()
        if tokens == 100:
            model.eval()  # other pieces, other dropout
            expected = load_system(tmp_path / "start").eval()
            backward(expected, batch_of(groups[:8]), settings, 3)
        losses = backward(
            model, batch_of(groups[:8]), settings.replace(cached=cached, tokens_per_pass=tokens), 3
        )
        found.append((losses["loss"], [value.grad for value in model.parameters()]))
    whole = [value.grad for value in expected.parameters()]
    for some, others in ((found[0][1], found[1][1]), (found[2][1], whole)):
        for one, other in zip(some, others, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)


def test_frozen_layers_stay_as_they_were_and_their_outputs_are_kept(
    base: Path, groups: list[Group], tmp_path: Path
):
    options = {**FAST, "frozen_layers": 1, "keep": "last"}
    train(groups, tmp_path / "one", model=base, cache=tmp_path / "cache", **options)
    kept = {path.name: path.stat().st_size for path in (tmp_path / "cache").rglob("*.*")}
    assert kept["rows.f16"] > 0
    train(groups, tmp_path / "two", model=base, cache=tmp_path / "cache", **options)
    assert {path.name: path.stat().st_size for path in (tmp_path / "cache").rglob("*.*")} == kept
    train(groups, tmp_path / "three", model=base, cache_bytes=0, **options)
    assert same(tmp_path / "one", tmp_path / "two")
    before, after, without = weights_of_body(base), weights(tmp_path / "one"), weights(tmp_path / "three")
    for name, value in before.items():
        moved = not np.array_equal(after[f"network.body.{name}"], value)
        assert moved == (name.startswith("encoder.layer.1")), name
    for name, value in after.items():
        np.testing.assert_allclose(without[name], value, atol=1e-2, err_msg=name)


def weights_of_body(base: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(base / "model.safetensors")


def test_training_in_a_thread_needs_no_signals(base: Path, groups: list[Group], tmp_path: Path):
    options = {"model": base, **FAST, "steps": 1}
    worker = threading.Thread(target=train, args=(groups, tmp_path / "run"), kwargs=options)
    worker.start()
    worker.join()
    assert plait.load_encoder(tmp_path / "run").dim == 128


def test_without_torch_the_error_names_the_extra(tmp_path: Path):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import plait\n"
        "try: plait.train.train([plait.train.Group('q', ('d', 'e'))], 'out', model='m')\n"
        "except plait.PlaitError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ},
    )  # fmt: skip
    assert result.stdout == "torch is needed for this: pip install 'plait[train]'\n"
    assert not list(tmp_path.iterdir())
