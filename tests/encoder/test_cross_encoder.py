"""Cross-encoders give the scores of sentence-transformers (scripts/parity/cross_encoders.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import plait
from plait.encoder import CrossEncoder, convert, load_encoder
from plait.encoder.graph import FAMILIES
from plait.errors import CheckpointError, EmptyText, InvalidParameter, SourceNotFound

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "cross_encoders"
TEXTS = json.loads((ROOT / "scripts" / "parity" / "texts.json").read_text(encoding="utf-8"))
CHECKPOINTS = sorted(path.parent.name for path in GOLDEN.glob("*/expected.npz"))
QUERIES, DOCUMENTS = ([text for text in TEXTS[kind] if text.strip()] for kind in ("queries", "documents"))


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def copy(tmp_path):
    """A checkpoint to change: writes JSON files anew, or removes them if None is given."""

    def change(name: str = "ce-bert", files: dict[str, dict | None] | None = None) -> Path:
        target = tmp_path / name
        shutil.copytree(GOLDEN / name, target)
        for file, values in (files or {}).items():
            path = target / file
            if values is None:
                path.unlink()
            else:
                old = json.loads(path.read_text()) if path.exists() else {}
                path.write_text(json.dumps({**old, **values}))
        return target

    return change


def most_difference(folder: Path) -> float:
    """Between plait's scores and the library's, over all queries and documents."""
    model, most = CrossEncoder(folder), 0.0
    with np.load(folder / "expected.npz") as expected:
        for place, query in enumerate(QUERIES):
            for key, logits in (("scores", False), ("logits", True)):
                found = model.score(query, DOCUMENTS, logits=logits)
                most = max(most, float(np.abs(found - expected[f"{key}{place}"]).max()))
    return most


def test_every_family_has_a_checkpoint():
    assert {name.removeprefix("ce-") for name in CHECKPOINTS} == set(FAMILIES)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_scores_of_the_original(name):
    assert most_difference(GOLDEN / name) < 1e-5


def test_scores_do_not_depend_on_company_or_threads():
    model = plait.CrossEncoder(GOLDEN / "ce-modernbert")
    together = model.score(QUERIES[0], DOCUMENTS, threads=2)
    assert together.dtype == np.float32
    alone = [model.score(QUERIES[0], [text], threads=1)[0] for text in DOCUMENTS]
    np.testing.assert_array_equal(together, np.array(alone))
    assert model.score("a query", []).shape == (0,)


def test_progress_is_told():
    told = []
    CrossEncoder(GOLDEN / "ce-bert").score("a", ["b", "c"], progress=lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]


def test_pairs_are_cut_to_the_length():
    model = CrossEncoder(GOLDEN / "ce-bert", max_length=12)
    head = "bread " * 8
    same = model.score("paris", [head + "france", head + "city"])
    assert same[0] == same[1]
    assert model.score("paris", ["france"]) != model.score("paris", ["city"])


def test_the_end_of_a_very_long_text_is_not_read(monkeypatch):
    model = CrossEncoder(GOLDEN / "ce-bert")
    text = "bread rises " * 2000
    whole = model.score("paris " * 30, [text])
    monkeypatch.setattr("plait.encoder.tokenizer.CHARACTERS_PER_TOKEN", 1 << 20)
    np.testing.assert_array_equal(model.score("paris " * 30, [text]), whole)


def test_what_versions_before_6_wrote(copy):
    later = ("config_sentence_transformers.json", "modules.json", "sentence_bert_config.json")
    expected = CrossEncoder(GOLDEN / "ce-bert").score("paris", DOCUMENTS, logits=True)
    for key in (
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.1.0"}},
        {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
    ):
        old = copy(files={**dict.fromkeys(later), "config.json": key})
        model = CrossEncoder(old)
        assert model.settings.activation == "identity"
        np.testing.assert_array_equal(model.score("paris", DOCUMENTS), expected)
        shutil.rmtree(old)
    assert CrossEncoder(copy(files=dict.fromkeys(later))).settings.activation == "sigmoid"


@pytest.mark.parametrize("name", ["ce-bert", "ce-roberta"])
def test_converted_with_the_same_scores_and_in_8_bits_with_nearly_the_same(name, tmp_path):
    original = CrossEncoder(GOLDEN / name)
    wanted = original.score(QUERIES[0], DOCUMENTS, logits=True)
    convert(GOLDEN / name, tmp_path / "exact")
    converted = CrossEncoder(tmp_path / "exact")
    assert converted.settings == original.settings
    assert converted.fingerprint != original.fingerprint
    np.testing.assert_array_equal(converted.score(QUERIES[0], DOCUMENTS, logits=True), wanted)
    convert(GOLDEN / name, tmp_path / "int8", int8=True)
    found = CrossEncoder(tmp_path / "int8").score(QUERIES[0], DOCUMENTS, logits=True)
    assert np.abs(found - wanted).max() < 0.3 * np.ptp(wanted)
    assert not np.array_equal(found, wanted)
    with pytest.raises(CheckpointError, match="an ONNX graph already"):
        convert(tmp_path / "int8", tmp_path / "again")
    with pytest.raises(InvalidParameter, match="exists already"):
        convert(GOLDEN / name, tmp_path / "int8")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": {"architectures": ["BertModel"]}}, r"architectures is .*load_encoder"),
        ({"config.json": {"id2label": {"0": "no", "1": "yes"}}}, "id2label names 2 labels"),
        ({"config.json": {"model_type": "deberta-v2"}}, "model_type is 'deberta-v2'"),
        ({"config.json": {"hidden_size": 24}}, "has the shape"),
        ({"config.json": {"auto_map": {"AutoModel": "own.Model"}}}, "auto_map names code"),
        ({"config_sentence_transformers.json": {"activation_fn": "own.Function"}}, "activation_fn is 'own.F"),
        ({"config_sentence_transformers.json": {"default_prompt_name": "x"}}, "default_prompt_name is 'x'"),
        ({"config.json": None}, "no cross-encoder was recognised"),
        ({"model.safetensors": None}, "has no weights"),
        ({"tokenizer.json": None}, "no tokenizer.json"),
    ],
)
def test_what_is_no_cross_encoder_is_named(copy, files, message):
    with pytest.raises(CheckpointError, match=message):
        CrossEncoder(copy(files=files))


def test_other_modules_behind_the_network_are_refused(copy):
    folder = copy()
    entries = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*entries, {"type": "x.LogitScore", "path": "1"}]))
    with pytest.raises(CheckpointError, match=r"modules.json: lists .*LogitScore"):
        CrossEncoder(folder)


def test_a_broken_file_of_plaits_own(tmp_path):
    convert(GOLDEN / "ce-bert", tmp_path / "own")
    settings = tmp_path / "own" / "cross_encoder.json"
    good = json.loads(settings.read_text())
    for changes, message in (
        ({"format_version": 2}, "format_version is 2"),
        ({"activation": "relu"}, "activation is 'relu'"),
        ({"max_length": 0}, "max_length must be a whole number"),
        ({"max_length": 4}, "special tokens of a pair alone take 3"),
    ):
        settings.write_text(json.dumps({**good, **changes}))
        with pytest.raises(CheckpointError, match=message):
            CrossEncoder(tmp_path / "own")
    settings.write_text(json.dumps(good))
    (tmp_path / "own" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match=r"model\.onnx: can't be read"):
        CrossEncoder(tmp_path / "own")


def test_cross_encoders_and_encoders_are_told_apart():
    with pytest.raises(CheckpointError, match=r"this is a cross-encoder.*plait\.CrossEncoder"):
        load_encoder(GOLDEN / "ce-bert")
    with pytest.raises(CheckpointError, match="architectures"):
        CrossEncoder(ROOT / "tests" / "golden" / "parity" / "stanford-bert")
    with pytest.raises(SourceNotFound, match="no such folder"):
        CrossEncoder(ROOT / "nowhere")


def test_wrong_input():
    model = CrossEncoder(GOLDEN / "ce-bert")
    with pytest.raises(EmptyText, match=r"query\[0\] is empty"):
        model.score(" ", ["text"])
    with pytest.raises(EmptyText, match=r"texts\[1\] is empty"):
        model.score("query", ["text", ""])
    with pytest.raises(InvalidParameter, match="must be a list of strings"):
        model.score("query", "text")
    with pytest.raises(InvalidParameter, match="max_length must be a whole number from 1 to 40, not 41"):
        CrossEncoder(GOLDEN / "ce-bert", max_length=41)
