"""Files of torch.save: read as torch reads them, and nothing in them is ever run."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from plait.errors import TensorFileError
from plait.torchfile import read_torch_file

GOLDEN = Path(__file__).parent / "golden" / "torch"
CONTENTS = json.loads((GOLDEN / "contents.json").read_text(encoding="utf-8"))


def plain(value):
    if isinstance(value, np.ndarray):
        return [value.dtype.name, list(value.shape), value.flatten().tolist()]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("form", ["", "_legacy"])
@pytest.mark.parametrize("name", CONTENTS)
def test_what_torch_wrote(name, form):
    assert plain(read_torch_file(GOLDEN / f"{name}{form}.pt")) == CONTENTS[name]


def test_arrays_can_not_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        read_torch_file(GOLDEN / "tensor.pt")[0] = 1


class Runs:
    """Pickled as a call of ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def zip_of(path: Path, content: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, values in entries.items():
            archive.writestr(f"archive/data/{key}", values)
    return path


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_named_and_not_run(tmp_path, protocol):
    trace = tmp_path / "trace"
    path = zip_of(tmp_path / "evil.pt", pickle.dumps({"weight": Runs(os.mkdir, str(trace))}, protocol))
    with pytest.raises(TensorFileError, match=r"evil\.pt: calls posix\.mkdir"):
        read_torch_file(path)
    assert not trace.exists()


@pytest.mark.parametrize("function", [eval, getattr, __import__])
def test_no_function_of_python_can_be_called(tmp_path, function):
    path = zip_of(tmp_path / "evil.pt", pickle.dumps(Runs(function, "1", "2"), 2))
    with pytest.raises(TensorFileError, match=f"calls .*{function.__name__}"):
        read_torch_file(path)


def test_other_values_are_refused_by_the_instruction_that_makes_them(tmp_path):
    path = zip_of(tmp_path / "object.pt", pickle.dumps(frozenset({1}), 4))
    with pytest.raises(TensorFileError, match="pickle instruction FROZENSET"):
        read_torch_file(path)


def test_code_in_a_legacy_file_is_not_run(tmp_path):
    whole = (GOLDEN / "tensor_legacy.pt").read_bytes()
    start = whole.index(b"\x80\x02ctorch._utils")
    path = tmp_path / "evil.bin"
    path.write_bytes(whole[:start] + pickle.dumps(Runs(os.mkdir, str(tmp_path / "trace")), 2) + whole[start:])
    with pytest.raises(TensorFileError, match=r"evil\.bin: calls posix\.mkdir"):
        read_torch_file(path)
    assert not (tmp_path / "trace").exists()


class FakeStorage:
    """Pickled as torch pickles a storage."""

    def __init__(self, length: object, kind: object = None, key: object = "0"):
        self.length, self.kind, self.key = length, kind, key


@pytest.fixture
def tensor_file(tmp_path, monkeypatch):
    """Writes a file with one tensor whose storage, offset, shape and strides need not fit each other."""
    functions = {
        "_rebuild_tensor_v2": lambda: None,
        "FloatStorage": lambda: None,
        "ComplexStorage": lambda: None,
    }
    for name, function in functions.items():
        function.__module__ = "torch._utils" if name[0] == "_" else "torch"
        function.__name__ = function.__qualname__ = name
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(**functions))
    monkeypatch.setitem(sys.modules, "torch._utils", SimpleNamespace(**functions))

    class Rebuilds(pickle.Pickler):
        def persistent_id(self, value):
            kind = functions["FloatStorage"]
            if not isinstance(value, FakeStorage):
                return None
            return ("storage", functions.get(value.kind, kind), value.key, "cpu", value.length)

    def write(storage, offset, size, stride, content=b"\0" * 48) -> Path:
        call = Runs(functions["_rebuild_tensor_v2"], storage, offset, size, stride, False, None)
        stream = io.BytesIO()
        Rebuilds(stream, 2).dump(call)
        return zip_of(tmp_path / "tensor.pt", stream.getvalue(), **{"0": content})

    return write


def test_a_tensor_that_fits(tensor_file):
    assert read_torch_file(tensor_file(FakeStorage(12), 2, (5, 2), (2, 1))).shape == (5, 2)


@pytest.mark.parametrize(
    ("storage", "offset", "size", "stride"),
    [
        (FakeStorage(12), 0, (13,), (1,)),
        (FakeStorage(12), 1, (12,), (1,)),
        (FakeStorage(12), 0, (3,), (6,)),
        (FakeStorage(12), 0, (10**9,), (0,)),
        (FakeStorage(12), 0, (10**12, 0), (1, 1)),
        (FakeStorage(12), -1, (3,), (1,)),
        (FakeStorage(12), 0, (-3,), (1,)),
        (FakeStorage(12), 0, (3,), (-1,)),
        (FakeStorage(12), 0, (3, 4), (1,)),
        (FakeStorage(12), 0, "3", (1,)),
        (FakeStorage(12), 0.5, (3,), (1,)),
        (FakeStorage(13), 0, (3,), (1,)),
        (FakeStorage(10**15), 0, (3,), (1,)),
        (FakeStorage(-1), 0, (0,), (1,)),
        (FakeStorage("12"), 0, (3,), (1,)),
        (FakeStorage(12, key=3), 0, (3,), (1,)),
        (FakeStorage(12, key="../0"), 0, (3,), (1,)),
        (FakeStorage(12, kind="ComplexStorage"), 0, (3,), (1,)),
        ("no storage", 0, (3,), (1,)),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage(tensor_file, storage, offset, size, stride):
    path = tensor_file(storage, offset, size, stride)
    if size == (10**12, 0):
        assert read_torch_file(path).size == 0
        return
    with pytest.raises(TensorFileError, match=r"tensor\.pt"):
        read_torch_file(path)


@pytest.mark.parametrize("name", ["state_dict.pt", "state_dict_legacy.pt"])
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path, name):
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / "damaged.pt"
    draw = random.Random(5)
    refused = 0
    for trial in range(400):
        broken = bytearray(whole)
        if trial % 2:
            broken = broken[: draw.randrange(len(whole))]
        for _ in range(trial % 5):
            if broken:
                broken[draw.randrange(len(broken))] = draw.randrange(256)
        path.write_bytes(broken)
        try:
            read_torch_file(path)
        except TensorFileError as error:
            assert "damaged.pt" in str(error)
            refused += 1
    assert refused > 200


def test_an_entry_larger_than_the_file(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    with pytest.raises(TensorFileError, match="larger than the file"):
        read_torch_file(path)


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps([1, 2]), b"\x80\x02N."])
def test_other_files(tmp_path, content):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(TensorFileError, match=r"other\.bin: was not written by torch\.save"):
        read_torch_file(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(TensorFileError, match=r"missing\.pt: can't be read"):
        read_torch_file(tmp_path / "missing.pt")
