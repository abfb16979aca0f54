"""Forged arrays under AddressSanitizer: native code, as Python calls it, stays inside its arrays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import court
from tests.hostile.court import KINDS, ROOT, judge
from tests.hostile.test_damage import forgeries

SCRIPTS = Path(sys.executable).parent
FLAGS = "-fsanitize=address -fno-omit-frame-pointer"


@pytest.fixture(scope="module")
def kernels() -> Path:
    """The extension built with AddressSanitizer."""
    path = f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}"
    cmake = shutil.which("cmake", path=path)
    if cmake is None or shutil.which("gcc") is None:
        pytest.skip("needs gcc, and cmake: pip install cmake")
    build = ROOT / "build" / "sanitized"

    def run(*command: str) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": path, "CXX": "g++"},
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout.strip()

    nanobind = run(sys.executable, "-m", "nanobind", "--cmake_dir")
    settings = {
        "CMAKE_BUILD_TYPE": "RelWithDebInfo",
        "CMAKE_CXX_FLAGS": FLAGS,
        "Python_EXECUTABLE": sys.executable,
        "nanobind_DIR": nanobind,
    }
    run(cmake, "-S", str(ROOT), "-B", str(build), *(f"-D{name}={value}" for name, value in settings.items()))
    run(cmake, "--build", str(build), "--parallel", "2")
    return next(build.glob("_native*.so"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the sanitizer is preloaded")
@pytest.mark.parametrize("kind", list(KINDS))
def test_forged_arrays_under_the_address_sanitizer(kernels: Path, kind: str, tmp_path: Path):
    path = court.make(tmp_path / kind, kind)
    # libstdc++ too: loaded later, its exceptions would not be found by the sanitizer.
    libraries = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "HOSTILE_KERNELS": str(kernels),
    }
    damages = forgeries(path)
    verdict = judge(path, damages, environment=environment, memory=0)
    assert not verdict.findings, verdict.findings[0]
    assert len(verdict.errors) > len(damages) // 4
