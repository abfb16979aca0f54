"""Starts judges, and makes the indexes that are damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import plait
from tests.conftest import clustered
from tests.hostile.judge import Damage

ROOT = Path(__file__).parents[2]
#: Bytes that an opening and a few searches of a tiny index may ask for.
MEMORY = 512 << 20
#: Kinds of indexes: how they are made, and tokens of a child.
KINDS: dict[str, tuple[dict[str, Any], int]] = {
    "scaled": ({"level": "balanced"}, 96),
    "children": ({"level": "compact"}, 4),
    "residual": ({"nbits": 2}, 96),
    "float32": ({"level": "balanced", "bm25": True, "bi_encoder": True}, 96),
}


def make(path: Path, kind: str, seed: int = 3) -> Path:
    """Two segments of a few documents, and a tombstone."""
    how, tokens_per_child = KINDS[kind]
    documents = clustered(16, dim=8, seed=seed, doclen=(1, 8))
    with (
        mock.patch("plait.store.choice.MIN_CODEC_TOKENS", 1 << 30 if kind == "float32" else 20),
        mock.patch("plait.codec.subdivide.TOKENS_PER_CHILD", tokens_per_child),
        plait.Index.create(path, dim=8, seed=7, **how) as index,
    ):
        metadata = [{"n": number} for number in range(10)]
        index.add(vectors=documents[:10], texts=["ä text"] * 10, metadata=metadata, threads=1)
        index.add(vectors=documents[10:], ids=[f"later {n}" for n in range(6)], threads=1)
        index.delete("3")
    for leftover in path.glob("*.sqlite-*"):
        leftover.unlink()
    return path


def arrays(path: Path) -> list[str]:
    """The names of all arrays, from the index's folder."""
    return sorted(str(file.relative_to(path)) for file in path.rglob("*.npy"))


@dataclass
class Verdict:
    """What a judge found.

    Attributes:
        errors: plait's errors, by the number of the damage: class and message.
        unharmed: damages after which everything was answered as before.
        changed: damages after which something else was answered.
        findings: damages that plait did not cope with, and how it failed.
    """

    errors: dict[int, tuple[str, str]] = field(default_factory=dict)
    unharmed: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    findings: list[tuple[Damage, str]] = field(default_factory=list)


def judge(
    path: Path, damages: list[Damage], *, environment: dict[str, str] | None = None, memory: int = MEMORY
) -> Verdict:
    """Let a process try all damages."""
    verdict, done = Verdict(), 0
    with tempfile.TemporaryDirectory() as folder:
        while done < len(damages):
            # A judge that died left its copy damaged.
            copy = shutil.copytree(path, Path(folder) / str(done) / path.name)
            done += _judge(copy, damages[done:], done, verdict, environment or {}, memory)
    return verdict


def _judge(
    path: Path,
    damages: list[Damage],
    first: int,
    verdict: Verdict,
    environment: dict[str, str],
    memory: int,
) -> int:
    """One process; returns how many damages it got through, the one that killed it included."""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.hostile.judge"],
        input=json.dumps({"index": str(path), "damages": damages, "memory": memory}),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"} | environment,
        timeout=540,
    )
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    assert lines, process.stderr[-3000:]
    sound, begun, ended = lines[0]["sound"], -1, -1
    for line in lines[1:]:
        if "begun" in line:
            begun = line["begun"]
            continue
        ended = number = line["number"]
        if "error" in line:
            verdict.errors[first + number] = line["error"], line["message"]
        elif "foreign" in line:
            verdict.findings.append((damages[number], line["foreign"]))
        else:
            (verdict.unharmed if line["answers"] == sound else verdict.changed).append(first + number)
    if begun > ended:
        verdict.findings.append((damages[begun], f"ended by {process.returncode}: {process.stderr[:3000]}"))
    return begun + 1
