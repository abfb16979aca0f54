"""The kernels for aarch64, on a machine that has a compiler for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-g++") is None, reason="needs apt-get install g++-aarch64-linux-gnu"
)
def test_neon_agrees_with_portable_code_bit_for_bit() -> None:
    done = subprocess.run([ROOT / "scripts/cross_compile.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "compiled for aarch64: native/isa/neon.cpp" in done.stdout
    if "not run" in done.stdout:
        pytest.skip("compiled, but not run: needs apt-get install qemu-user")
    assert "2 instruction sets" in done.stdout


def test_a_missing_compiler_is_named() -> None:
    done = subprocess.run(
        [ROOT / "scripts/cross_compile.sh"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "CROSS_CXX": "no-such-compiler"},
    )
    assert done.returncode == 2
    assert "no-such-compiler: apt-get install g++-aarch64-linux-gnu" in done.stderr
