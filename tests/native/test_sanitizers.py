"""The kernels under the address and undefined-behaviour sanitizers, as a C++ program of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plait.kernels import available_isas

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_no_kernel_leaves_its_arrays() -> None:
    scripts = Path(sys.executable).parent
    cmake = shutil.which("cmake", path=f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}")
    if cmake is None:
        pytest.skip("needs cmake: pip install cmake")
    build = ROOT / "build" / "kernel-tests"
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    run(cmake, "-S", ROOT, "-B", build, "-DPLAIT_KERNEL_TESTS=ON", "-DCMAKE_BUILD_TYPE=Debug")
    run(cmake, "--build", build, "--parallel", "2")
    assert f"{len(available_isas())} instruction sets" in run(build / "test_kernels")
