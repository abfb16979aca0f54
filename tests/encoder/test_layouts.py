"""Layouts of checkpoints: what is assumed is said, what contradicts is refused, whatever tool wrote them."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from plait.encoder import CheckpointEncoder, convert, load_encoder, read_checkpoint
from plait.errors import CheckpointError, CheckpointWarning, InvalidParameter, MissingExtra, SourceNotFound

GOLDEN = Path(__file__).parents[1] / "golden" / "parity"
TEXT = ["Paris is the capital of France."]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def copy(tmp_path):
    """Copies a golden checkpoint, to be changed; keyword arguments change one of its JSON files."""

    def make(name: str, file: str = "", **changes: object) -> Path:
        folder = shutil.copytree(GOLDEN / name, tmp_path / name)
        if file:
            path = folder / file
            values = json.loads(path.read_text()) | changes
            path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))
        return folder

    return make


def loaded(folder: Path) -> tuple[CheckpointEncoder, list[str]]:
    """The encoder and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = load_encoder(folder)
    assert all(issubclass(warning.category, CheckpointWarning) for warning in caught)
    return encoder, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("name", ["stanford-bert", "pylate-modernbert", "st-roberta"])
def test_a_complete_checkpoint_loads_without_a_word(name):
    encoder, said = loaded(GOLDEN / name)
    assert said == []
    assert encoder.name == name
    assert encoder.dim == 16


def test_a_model_of_colbert_ai_without_its_metadata(copy):
    folder = copy("stanford-bert")
    (folder / "artifact.metadata").unlink()
    encoder, said = loaded(folder)
    assert any("artifact.metadata is missing" in line for line in said)
    assert any("document_length is 220" in line and "64 positions" in line for line in said)
    assert encoder.settings.query_length == 32
    assert encoder.settings.document_length == 64


def test_settings_of_colbert_ai_that_mean_something_else_here(copy):
    _, said = loaded(copy("stanford-bert", "artifact.metadata", similarity="l2", interaction="flipr"))
    assert len(said) == 2
    assert "similarity is 'l2'" in said[0]
    assert "interaction is 'flipr'" in said[1]


def test_a_marker_that_the_vocabulary_lacks_is_the_unknown_token_as_in_colbert_ai(copy):
    encoder, said = loaded(copy("stanford-bert", "artifact.metadata", query_token_id="[Q]"))
    assert "query_token_id is '[Q]'" in said[0]
    assert encoder.settings.query_prefix == "[UNK]"


def test_a_folder_with_the_settings_of_two_libraries(copy, tmp_path):
    folder = copy("stanford-bert")
    for file in ("modules.json", "config_sentence_transformers.json"):
        shutil.copy(GOLDEN / "pylate-bert" / file, folder)
    (folder / "1_Dense").mkdir()
    shutil.copy(GOLDEN / "pylate-bert" / "1_Dense" / "config.json", folder / "1_Dense")
    shutil.copy(GOLDEN / "pylate-bert" / "1_Dense" / "model.safetensors", folder / "1_Dense")
    path = folder / "config_sentence_transformers.json"
    values = json.loads(path.read_text()) | {"query_prefix": "[unused0]", "document_prefix": "[unused1]"}
    path.write_text(json.dumps(values | {"document_length": 30}))
    encoder, said = loaded(folder)
    assert encoder.settings.document_length == 30
    assert [line.partition(": ")[2] for line in said] == [
        f"document_length is 30, but {folder / 'artifact.metadata'} says 40; the former is taken"
    ]


def test_settings_that_pylate_did_not_write_are_its_defaults(copy):
    encoder, said = loaded(
        copy("pylate-bert", "config_sentence_transformers.json", query_length=..., skiplist_words=None)
    )
    assert said == [
        f"{encoder._checkpoint.settings_file}: lacks query_length, skiplist_words; PyLate's defaults are "
        f"taken"
    ]
    assert encoder.settings.query_length == 32
    assert len(encoder.settings.skiplist_words) == 32


def test_keys_that_nobody_knows_are_told(copy):
    _, said = loaded(copy("pylate-bert", "config_sentence_transformers.json", sparkle=3))
    assert "sparkle" in said[0]


def test_settings_of_modernbert_where_transformers_4_keeps_them(copy):
    wanted = load_encoder(GOLDEN / "st-modernbert").encode_documents(TEXT).vectors
    older = {"global_attn_every_n_layers": 2, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0}
    folder = copy("st-modernbert", "config.json", rope_parameters=..., layer_types=..., **older)
    assert np.array_equal(load_encoder(folder).encode_documents(TEXT).vectors, wanted)
    path = folder / "config.json"
    for key, value in (
        ("local_rope_theta", None),
        ("global_rope_theta", 500.0),
        ("global_attn_every_n_layers", 1),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        found = load_encoder(folder).encode_documents(TEXT).vectors
        assert not np.array_equal(found, wanted), key
        wanted = found


def test_prompts_of_pylate_are_not_used_unless_one_is_the_default(copy):
    encoder, said = loaded(
        copy("pylate-bert", "config_sentence_transformers.json", prompts={"query": "find: "})
    )
    assert "query" in said[0] and encoder.settings.query_prompt == ""


@pytest.mark.parametrize(
    ("name", "file", "changes", "named"),
    [
        ("stanford-bert", "artifact.metadata", {"dim": 8}, "dim is 8, but linear.weight gives 16"),
        ("stanford-bert", "artifact.metadata", {"query_maxlen": "32"}, "query_maxlen must be a whole number"),
        ("stanford-bert", "config.json", {"model_type": ...}, "model_type is missing"),
        (
            "stanford-bert",
            "config.json",
            {"hidden_size": 48},
            r"word_embeddings.weight has the shape \[\d+, 32\]",
        ),
        ("stanford-bert", "config.json", {"num_attention_heads": 5}, "num_attention_heads is 5"),
        ("stanford-bert", "config.json", {"num_hidden_layers": 3}, r"layer\.2.* is missing"),
        (
            "stanford-bert",
            "config.json",
            {"num_hidden_layers": -1},
            "num_hidden_layers must be a whole number",
        ),
        ("stanford-bert", "config.json", {"hidden_act": "cube"}, "hidden_act is 'cube'"),
        (
            "stanford-bert",
            "config.json",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type",
        ),
        ("stanford-bert", "config.json", {"max_position_embeddings": 1 << 20}, "position_embeddings.weight"),
        ("stanford-bert", "config.json", {"layer_norm_eps": "small"}, "layer_norm_eps"),
        ("stanford-bert", "config.json", {"is_decoder": True}, "is_decoder is true"),
        ("stanford-bert", "config.json", {"auto_map": {"AutoModel": "x--y.Z"}}, "auto_map names code"),
        ("pylate-bert", "1_Dense/config.json", {"out_features": 8}, "linear.weight has the shape"),
        (
            "pylate-bert",
            "1_Dense/config.json",
            {"activation_function": "os.system"},
            "activation_function is 'os.system'",
        ),
        ("pylate-bert", "1_Dense/config.json", {"bias": True}, r"linear\.bias is missing"),
        ("pylate-bert", "1_Dense/config.json", {"use_residual": True}, r"residual\.weight is missing"),
        ("pylate-bert", "1_Dense/config.json", {"scale": 2}, "scale is not known"),
        ("pylate-bert", "config_sentence_transformers.json", {"query_prefix": "[none]"}, "query_prefix is"),
        (
            "pylate-bert",
            "config_sentence_transformers.json",
            {"do_query_expansion": "yes"},
            "do_query_expansion",
        ),
        ("pylate-modernbert", "config.json", {"rope_scaling": {"factor": 2}}, "rope_scaling"),
        ("pylate-modernbert", "config.json", {"layer_types": ["full_attention"]}, "layer_types"),
        ("st-bert", "config_sentence_transformers.json", {"model_type": "SentenceTransformer"}, "model_type"),
        ("st-bert", "2_MultiVectorMask/config.json", {"keep_only_token_ids": [3]}, "keep_only_token_ids"),
        ("st-bert", "2_MultiVectorMask/config.json", {"skiplist_tasks": ["query"]}, "skiplist_tasks"),
        ("st-bert", "2_MultiVectorMask/config.json", {"drop": 1}, "drop is not known"),
        ("st-bert", "1_Dense/config.json", {"module_input_name": "sentence_embedding"}, "module_input_name"),
        ("st-bert", "sentence_bert_config.json", {"query_length": 8}, "query_length is 8"),
        ("st-bert", "sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case"),
        (
            "st-bert",
            "sentence_bert_config.json",
            {"query_expansion": {"strategy": "most", "length": 3}},
            "strategy",
        ),
        (
            "st-bert",
            "sentence_bert_config.json",
            {"query_expansion": {"strategy": "min"}},
            "length is missing",
        ),
    ],
)
def test_a_contradiction_names_the_file_and_the_key(copy, name, file, changes, named):
    folder = copy(name, file, **changes)
    with pytest.raises(CheckpointError, match=named) as raised:
        loaded(folder)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([], "first module must be a Transformer"),
        ({"0": 1}, "must hold a list"),
        ([1], "module 0 must be a JSON object"),
        ([("Transformer", "")], "lists no Dense module"),
        ([("Transformer", ""), ("Pooling", "1_Pooling")], "one vector per text"),
        ([("Transformer", ""), ("LSTM", "1_LSTM")], "lists the module LSTM"),
        ([("Transformer", ""), ("Normalize", ""), ("Dense", "1_Dense")], "lists the module Dense"),
        ([("Transformer", ""), ("Dense", "../pylate-bert/1_Dense")], "path must be a folder beside it"),
    ],
)
def test_modules_that_are_not_those_of_a_colbert_model(copy, entries, named):
    folder = copy("pylate-bert")
    if isinstance(entries, list):
        entries = [
            {"idx": 0, "path": entry[1], "type": f"pylate.models.{entry[0]}"}
            if isinstance(entry, tuple)
            else entry
            for entry in entries
        ]
    (folder / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(CheckpointError, match=named):
        load_encoder(folder)


def test_berts_list_of_words_stands_in_for_a_missing_tokenizer_file(copy):
    folder = copy("stanford-bert")
    wanted = load_encoder(folder).encode_documents(TEXT).vectors
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.get)) + "\n")
    (folder / "tokenizer.json").unlink()
    assert np.array_equal(load_encoder(folder).encode_documents(TEXT).vectors, wanted)
    (folder / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["pylate-bert", "st-roberta", "stanford-xlm-roberta"])
def test_a_converted_folder_gives_the_same_bits(name, tmp_path):
    convert(GOLDEN / name, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "encoder.json",
        "model.onnx",
        "tokenizer.json",
    ]
    converted, original = load_encoder(tmp_path / "out"), load_encoder(GOLDEN / name)
    assert converted.settings == original.settings
    for encode in ("encode_documents", "encode_queries"):
        assert np.array_equal(
            getattr(converted, encode)(TEXT).vectors, getattr(original, encode)(TEXT).vectors
        )


@pytest.mark.parametrize(
    "name", ["pylate-bert", "pylate-modernbert", "pylate-distilbert", "stanford-electra"]
)
def test_weights_in_8_bits_are_close_and_small(name, tmp_path):
    convert(GOLDEN / name, tmp_path / "int8", int8=True)
    convert(GOLDEN / name, tmp_path / "f32")
    found, wanted = (
        load_encoder(tmp_path / precision).encode_documents(TEXT).vectors for precision in ("int8", "f32")
    )
    assert 0.98 < (found * wanted).sum(axis=1).min() < 1 - 1e-6
    small, large = ((tmp_path / precision / "model.onnx").stat().st_size for precision in ("int8", "f32"))
    assert small < 0.6 * large


def test_convert_refuses_what_is_there_or_is_an_onnx_graph_already(tmp_path):
    convert(GOLDEN / "stanford-bert", tmp_path / "out")
    with pytest.raises(InvalidParameter, match="exists already"):
        convert(GOLDEN / "stanford-bert", tmp_path / "out")
    with pytest.raises(CheckpointError, match="an ONNX graph already"):
        convert(tmp_path / "out", tmp_path / "again")


def test_a_failed_conversion_leaves_nothing(copy, tmp_path):
    folder = copy("stanford-bert", "config.json", num_hidden_layers=3)
    with pytest.raises(CheckpointError, match="is missing"):
        convert(folder, tmp_path / "made" / "out")
    assert [*(tmp_path / "made").iterdir()] == []


def test_a_graph_is_built_once_and_again_when_the_checkpoint_changes(copy, tmp_path):
    folder = copy("pylate-bert")
    kept = tmp_path / "cache" / "plait" / "encoders"
    first = load_encoder(folder)
    (graph,) = kept.glob("*/model.onnx")
    written = graph.stat().st_mtime_ns
    again = load_encoder(folder)
    assert graph.stat().st_mtime_ns == written
    assert again.fingerprint == first.fingerprint
    weights = bytearray((folder / "1_Dense" / "model.safetensors").read_bytes())
    weights[-4:] = np.float32(3).tobytes()
    (folder / "1_Dense" / "model.safetensors").write_bytes(weights)
    changed = load_encoder(folder)
    assert len([*kept.iterdir()]) == 2
    assert changed.fingerprint != first.fingerprint
    assert not np.array_equal(changed.encode_documents(TEXT).vectors, first.encode_documents(TEXT).vectors)


def test_a_cache_that_can_not_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="XDG_CACHE_HOME"):
        load_encoder(GOLDEN / "stanford-bert")


@pytest.fixture
def export(tmp_path):
    """A folder as next-plaid's exporter writes it; keyword arguments change ``onnx_config.json``."""

    def make(**changes: object) -> Path:
        folder = tmp_path / "export"
        convert(GOLDEN / "pylate-bert", folder)
        settings = json.loads((GOLDEN / "pylate-bert" / "config_sentence_transformers.json").read_text())
        (folder / "encoder.json").unlink()
        words = {
            **json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"],
            **{
                token["content"]: token["id"]
                for token in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
            },
        }
        values = {
            key: settings[key]
            for key in settings
            if key not in ("__version__", "prompts", "default_prompt_name")
        }
        values |= {
            "do_query_expansion": False,
            "embedding_dim": 16,
            "mask_token_id": words["[MASK]"],
            "query_prefix_id": words["[Q] "],
            "document_prefix_id": words["[D] "],
            "model_name": "lab/tiny",
        }
        del values["similarity_fn_name"]
        values = {key: value for key, value in (values | changes).items() if value is not ...}
        (folder / "onnx_config.json").write_text(json.dumps(values))
        return folder

    return make


def test_an_export_of_next_plaid_warns_that_expansion_may_be_lost(export):
    encoder, said = loaded(export())
    assert len(said) == 1
    assert "do_query_expansion is false" in said[0]
    assert not encoder.settings.query_expansion
    assert encoder.name == "lab/tiny"
    with np.load(GOLDEN / "pylate-bert" / "expected.npz") as expected:
        wanted = expected["document0"]
    found = encoder.encode_documents(["Paris is the capital and the largest city of France."]).vectors
    assert (found * wanted).sum(axis=1).min() >= 0.9999


def test_an_export_with_expansion_put_right(export):
    encoder, said = loaded(export(do_query_expansion=True))
    assert "attend_to_expansion_tokens is false, and is followed" in said[0]
    with np.load(GOLDEN / "pylate-bert" / "expected.npz") as expected:
        wanted = expected["query0"]
    found = encoder.encode_queries(["What is the capital of France?"]).vectors
    assert (found * wanted).sum(axis=1).min() >= 0.9999


def test_what_an_export_does_not_say_is_next_plaids_default(export):
    encoder, said = loaded(export(query_length=..., document_length=...))
    assert any("query_length is missing" in line for line in said)
    assert encoder.settings.query_length == 48
    assert encoder.settings.document_length == 300


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"query_prefix_id": 5}, "query_prefix_id is 5, but"),
        ({"mask_token_id": 99999, "do_query_expansion": True}, "mask_token_id is 99999"),
        ({"embedding_dim": ...}, "embedding_dim is missing"),
        ({"embedding_dim": 8}, r"dim in onnx_config\.json is 8"),
    ],
)
def test_an_export_that_contradicts_itself(export, changes, named):
    folder = export(**changes)
    with pytest.raises(CheckpointError, match=named):
        loaded(folder)


def test_an_export_in_8_bits_only(export):
    folder = export()
    (folder / "model.onnx").rename(folder / "model_int8.onnx")
    _, said = loaded(folder)
    assert any("model_int8.onnx" in line for line in said)
    (folder / "model_int8.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.onnx nor model_int8\.onnx"):
        load_encoder(folder)


class Hub:
    """A stand-in for huggingface_hub with one repository, "lab/tiny"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[object, object]] = []

    def snapshot_download(self, name, *, ignore_patterns, allow_patterns):
        self.asked.append((ignore_patterns, allow_patterns))
        if name != "lab/tiny":
            raise RuntimeError(f"404: no repository {name}")
        return str(self.folder)


@pytest.fixture
def hub(monkeypatch):
    hub = Hub(GOLDEN / "stanford-bert")
    monkeypatch.setitem(
        sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=hub.snapshot_download)
    )
    return hub


def test_a_name_on_the_hub_takes_the_same_path_as_a_folder(hub):
    encoder = load_encoder("lab/tiny")
    assert encoder.name == "lab/tiny"
    wanted = load_encoder(GOLDEN / "stanford-bert")
    assert encoder.fingerprint == wanted.fingerprint
    assert np.array_equal(encoder.encode_queries(TEXT).vectors, wanted.encode_queries(TEXT).vectors)
    ((ignored, _),) = hub.asked
    assert "*.h5" in ignored


def test_weights_in_another_form_are_asked_for_only_when_needed(hub, tmp_path):
    hub.folder = tmp_path
    with pytest.raises(CheckpointError, match="no encoder was recognised"):
        load_encoder("lab/tiny")
    assert len(hub.asked) == 2
    assert "pytorch_model*.bin" in hub.asked[1][1]


def test_a_name_that_the_hub_does_not_know(hub):
    with pytest.raises(SourceNotFound, match=r"lab/none: there is no such folder here, and .* 404"):
        load_encoder("lab/none")


def test_without_the_hubs_client_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install 'plait\[hub\]'"):
        load_encoder("lab/tiny")


def test_an_index_remembers_a_name_on_the_hub(hub, tmp_path):
    import plait

    with plait.Index.create(tmp_path / "index", model="lab/tiny") as index:
        index.add(TEXT, ids=["paris"])
    with plait.Index.open(tmp_path / "index") as index:
        assert [hit.id for hit in index.search("capital of France", k=1)] == ["paris"]


def test_an_index_notices_a_changed_checkpoint(copy, tmp_path):
    import plait

    folder = copy("pylate-distilbert")
    with plait.Index.create(tmp_path / "index", model=folder) as index:
        index.add(TEXT, ids=["paris"])
    with plait.Index.open(tmp_path / "index") as index:
        assert [hit.id for hit in index.search("capital", k=1)] == ["paris"]
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(settings.read_text().replace('"document_length": 40', '"document_length": 20'))
    with plait.Index.open(tmp_path / "index") as index, pytest.raises(plait.errors.EncoderMismatch):
        index.search("capital", k=1)


def test_a_network_that_only_torch_runs_names_the_command(copy, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = copy("st-bert", "config.json", model_type="mpnet")
    with pytest.raises(MissingExtra, match=r"model_type is 'mpnet'.*pip install 'plait\[torch\]'") as raised:
        load_encoder(folder)
    assert str(folder / "config.json") in str(raised.value)
    with pytest.raises(CheckpointError, match=r"model_type is 'mpnet'; only bert, .* can be converted"):
        convert(folder, tmp_path / "out")


def test_read_checkpoint_says_what_it_looked_for(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"encoder\.json .*modules\.json.*config\.json"):
        read_checkpoint(tmp_path)
