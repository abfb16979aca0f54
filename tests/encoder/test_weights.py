"""Weights that are damaged, hostile or in several files: read, or refused by name; nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from plait.encoder import load_encoder
from plait.encoder.weights import Weights, weight_files
from plait.errors import CheckpointError

GOLDEN = Path(__file__).parents[1] / "golden"
TEXT = ["Paris is the capital of France."]
SOURCE = GOLDEN / "parity" / "stanford-bert"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return shutil.copytree(SOURCE, tmp_path / "model")


def write_safetensors(path: Path, weights: dict[str, np.ndarray], kind: str = "F32") -> None:
    header, numbers = {}, b""
    for name, values in weights.items():
        content = values.tobytes()
        offsets = [len(numbers), len(numbers) + len(content)]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": offsets}
        numbers += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)


def all_weights(path: Path) -> dict[str, np.ndarray]:
    weights = Weights((path,))
    return {name: weights.take(name, *weights.shape(name)) for name in weights}


def with_header(path: Path, header: object, numbers: bytes = b"\0" * 64) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def entry(shape=(2, 2), offsets=(0, 16), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[1]",
        b"3",
        b"\xff\xfe",
        b"[" * 100_000,
        {"w": 3},
        {"w": {}},
        {"w": entry(shape="22")},
        {"w": entry(shape=[2, -2])},
        {"w": entry(shape=[2, 2.0])},
        {"w": entry(shape=[True, 4])},
        {"w": entry(shape=None)},
        {"w": entry(offsets=[0])},
        {"w": entry(offsets=[16, 0])},
        {"w": entry(offsets=[-16, 0])},
        {"w": entry(offsets=[0, 1 << 60], shape=[1 << 58])},
        {"w": entry(offsets=[60, 76])},
        {"w": entry(shape=[1 << 40, 1 << 40])},
        {"w": entry(shape=[2, 3])},
        {"w": entry(dtype=3)},
    ],
)
def test_a_header_that_can_not_be_true(tmp_path, header):
    path = with_header(tmp_path / "model.safetensors", header)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        Weights((path,))


@pytest.mark.parametrize("length", [9, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_the_file(tmp_path, length):
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match=rf"claims {length} bytes of a file of 10"):
        Weights((path,))


def test_weights_that_are_no_floats(tmp_path):
    path = with_header(tmp_path / "model.safetensors", {"w": entry(dtype="I32"), "f": entry(dtype="F8_E4M3")})
    for name in "wf":
        with pytest.raises(CheckpointError, match=f"{name} holds (I32|F8_E4M3), not floats"):
            Weights((path,)).take(name, 2, 2)


def test_every_width_of_float(tmp_path):
    path = tmp_path / "model.safetensors"
    wanted = np.array([[0.5, -1.25], [3, 0]], np.float32)
    for kind, values in (
        ("F32", wanted),
        ("F64", wanted.astype(np.float64)),
        ("F16", wanted.astype(np.float16)),
        ("BF16", (wanted.view(np.uint32) >> 16).astype(np.uint16)),
    ):
        write_safetensors(path, {"w": values}, kind)
        found = Weights((path,)).take("w", 2, 2)
        assert found.dtype == np.float32
        assert np.array_equal(found, wanted), kind


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.99])
def test_a_truncated_file(folder, share):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["linear.weight", "bert.encoder.layer.1.output.dense.bias"])
def test_a_missing_weight_is_named(folder, name):
    weights = all_weights(folder / "model.safetensors")
    del weights[name]
    write_safetensors(folder / "model.safetensors", weights)
    with pytest.raises(CheckpointError, match=f"the weight {name} is missing"):
        load_encoder(folder)


def test_a_weight_of_another_shape_is_named(folder):
    weights = all_weights(folder / "model.safetensors")
    weights["bert.embeddings.LayerNorm.weight"] = np.ones(31, np.float32)
    write_safetensors(folder / "model.safetensors", weights)
    with pytest.raises(CheckpointError, match=r"LayerNorm\.weight has the shape \[31\], but .* \[32\]"):
        load_encoder(folder)


def test_two_networks_in_one_file(folder):
    weights = all_weights(folder / "model.safetensors")
    weights["other.embeddings.word_embeddings.weight"] = weights["bert.embeddings.word_embeddings.weight"]
    write_safetensors(folder / "model.safetensors", weights)
    with pytest.raises(CheckpointError, match="but 2 are"):
        load_encoder(folder)


def test_weights_in_several_files(folder):
    wanted = load_encoder(folder).encode_documents(TEXT).vectors
    weights = all_weights(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    where = {name: f"model-0000{1 + place % 2}-of-00002.safetensors" for place, name in enumerate(names)}
    for file in sorted(set(where.values())):
        write_safetensors(folder / file, {name: weights[name] for name in names if where[name] == file})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    assert np.array_equal(load_encoder(folder).encode_documents(TEXT).vectors, wanted)
    index.write_text(json.dumps({"weight_map": where | {"more": "model-00003-of-00003.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"names model-00003-of-00003\.safetensors, which is not there"):
        load_encoder(folder)
    index.write_text(json.dumps({"weight_map": where | {"more": "../../etc/passwd"}}))
    with pytest.raises(CheckpointError, match="must name files beside it"):
        load_encoder(folder)


def test_names_from_before_2019(folder):
    wanted = load_encoder(folder).encode_documents(TEXT).vectors
    weights = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): values
        for name, values in all_weights(folder / "model.safetensors").items()
    }
    write_safetensors(folder / "model.safetensors", weights)
    assert np.array_equal(load_encoder(folder).encode_documents(TEXT).vectors, wanted)


def test_no_weights_at_all(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load_encoder(folder)


def test_weights_of_torch_are_read(tmp_path):
    shutil.copy(GOLDEN / "torch" / "state_dict.pt", tmp_path / "pytorch_model.bin")
    weights = Weights(weight_files(tmp_path))
    assert weights.take("0.weight", 2, 3).dtype == np.float32


class Runs:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_code_in_weights_of_torch_is_named_and_not_run(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"linear.weight": Runs(tmp_path / "trace")}, 2))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: calls posix\.mkdir.*safetensors"):
        load_encoder(folder)
    assert not (tmp_path / "trace").exists()


def test_weights_of_torch_that_are_no_weights(tmp_path):
    shutil.copy(GOLDEN / "torch" / "tensor.pt", tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds ndarray, not weights by name"):
        Weights(weight_files(tmp_path))
