"""Which kernels are used, and that their names, arguments and types are those of the twins."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plait import kernels
from plait.kernels import (
    _native,
    available_isas,
    reference,
    reference_bm25,
    reference_pooled,
    reference_scaled,
)

NAMES = [
    "approximate",
    "assign",
    "assign_grouped",
    "centroid_scores",
    "compress",
    "count_alive",
    "decode_scaled",
    "decompress",
    "encode_scaled",
    "find_terms",
    "gather",
    "gather_top",
    "inverse_norms",
    "invert",
    "maxsim",
    "maxsim_codes",
    "maxsim_decoded",
    "maxsim_decoded_all",
    "maxsim_scaled",
    "maxsim_scaled_all",
    "merge_tokens",
    "rotate",
    "sum_by_centroid",
    "top_bm25",
    "top_centroids",
    "top_k",
    "top_pooled",
    "top_rows",
]  # fmt: skip


def run(isa: str | None, code: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PLAIT_ISA"}
    if isa is not None:
        environment["PLAIT_ISA"] = isa
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("isa", [*available_isas(), "reference"])
def test_the_environment_forces_an_instruction_set(isa: str) -> None:
    done = run(
        isa,
        "from plait import kernels as k; print(k.isa(), k.maxsim.__module__ == 'plait.kernels.reference')",
    )
    assert done.stdout.split() == [isa, str(isa == "reference")], done.stderr


def test_the_fastest_is_chosen() -> None:
    for nothing in (None, ""):
        assert (
            run(nothing, "from plait import kernels as k; print(k.isa())").stdout.strip()
            == available_isas()[-1]
        )


def test_an_unknown_one_is_refused() -> None:
    done = run("sse9", "import plait.kernels")
    assert done.returncode == 1
    assert (
        "ImportError: PLAIT_ISA=sse9: this machine cannot run the kernels for sse9; it can run: scalar"
        in done.stderr
    )


def test_scalar_is_always_there() -> None:
    assert available_isas()[0] == "scalar"
    assert all(_native.kernels(isa).isa == isa for isa in available_isas())
    with pytest.raises(ValueError, match="cannot run the kernels for mmx"):
        _native.kernels("mmx")


def test_names_agree_with_the_twins() -> None:
    stub = ast.parse((Path(kernels.__file__).parent / "_native.pyi").read_text())
    table = next(node for node in stub.body if isinstance(node, ast.ClassDef))
    typed = {
        function.name: [argument.arg for argument in function.args.args[1:]]
        for function in table.body
        if isinstance(function, ast.FunctionDef) and not function.decorator_list
    }
    assert sorted(typed) == NAMES
    for name in NAMES:
        one = name.removesuffix("_all")
        homes = (reference, reference_scaled, reference_bm25, reference_pooled)
        twin = next(getattr(home, one) for home in homes if hasattr(home, one))
        expected = list(inspect.signature(twin).parameters)
        if name != one:  # several queries, and all else as for one
            expected[:1] = ["queries", "query_offsets"]
        assert typed[name] == expected
        signature = getattr(_native.Kernels, name).__doc__ or str(
            getattr(_native.Kernels, name).__nb_signature__
        )
        assert all(f"{argument}:" in signature for argument in expected)
        assert callable(getattr(kernels, name))
