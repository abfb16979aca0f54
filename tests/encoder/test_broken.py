"""Broken folders and settings: the error names the file and the key."""

from __future__ import annotations

import json

import pytest

from plait.encoder import load_encoder
from plait.errors import CheckpointError, SourceNotFound
from tests.encoder.conftest import COLBERT, TABLE
from tests.encoder.onnx_bytes import tiny_model


def test_no_such_folder(tmp_path):
    with pytest.raises(SourceNotFound, match="missing"):
        load_encoder(tmp_path / "missing")


def test_a_folder_that_holds_no_encoder_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(CheckpointError, match=r"encoder\.json"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file(folder, name):
    path = folder()
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_encoder(path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "encoder.json"])
@pytest.mark.parametrize("damage", ["empty", "half", "noise"])
def test_a_damaged_file(folder, name, damage):
    path = folder()
    whole = (path / name).read_bytes()
    broken = {"empty": b"", "half": whole[: len(whole) // 2], "noise": b"\x93\xff\x00" * 50}[damage]
    (path / name).write_bytes(broken)
    with pytest.raises(CheckpointError, match=name):
        load_encoder(path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"format_version": 1', "[" * 5000])
def test_settings_that_are_no_object(folder, text):
    path = folder()
    (path / "encoder.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"encoder\.json"):
        load_encoder(path)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"colour": "red"}, "colour"),
        ({"format_version": 2}, "format_version"),
        ({"format_version": True}, "format_version"),
        ({"format_version": None}, "format_version"),
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"dim": 0}, "dim"),
        ({"dim": True}, "dim"),
        ({"dim": "4"}, "dim"),
        ({"dim": 4.0}, "dim"),
        ({"dim": 10**9}, "dim"),
        ({"dim": 5}, "dim"),
        ({"query_length": -1}, "query_length"),
        ({"query_length": 3}, "query_length"),
        ({"document_length": 10**9}, "document_length"),
        ({"query_prefix": "[absent]"}, "query_prefix"),
        ({"document_prefix": 5}, "document_prefix"),
        ({"document_prefix": ""}, "document_prefix"),
        ({"query_expansion": "yes"}, "query_expansion"),
        ({"query_expansion": True}, "mask_token"),
        ({"query_expansion": True, "mask_token": "[absent]"}, "mask_token"),
        ({"attend_to_expansion_tokens": True}, "attend_to_expansion_tokens"),
        ({"skiplist_words": "!."}, "skiplist_words"),
        ({"skiplist_words": [3]}, "skiplist_words"),
        ({"skiplist_words": [""]}, "skiplist_words"),
        ({"normalise": 1}, "normalise"),
    ],
)
def test_a_setting_that_can_not_be_used(folder, changes, key):
    path = folder(**changes)
    with pytest.raises(CheckpointError, match=key) as raised:
        load_encoder(path)
    assert "encoder.json" in str(raised.value)


def test_a_missing_key(folder):
    path = folder()
    values = json.loads((path / "encoder.json").read_text())
    del values["dim"]
    (path / "encoder.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="'dim' is missing"):
        load_encoder(path)


def test_a_graph_with_an_input_that_nobody_gives(folder):
    path = folder()
    inputs = ("input_ids", "attention_mask", "pixels")
    (path / "model.onnx").write_bytes(tiny_model(TABLE, inputs))
    with pytest.raises(CheckpointError, match="pixels"):
        load_encoder(path)


def test_a_token_that_the_network_does_not_know_names_the_model(folder):
    path = folder(**COLBERT)
    (path / "model.onnx").write_bytes(tiny_model(TABLE[:10]))
    encoder = load_encoder(path)
    with pytest.raises(CheckpointError, match=r"model\.onnx.*5 tokens"):
        encoder.encode_documents(["a !"])
