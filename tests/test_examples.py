"""The examples run as they are; the demo says what it promises."""

import subprocess
import sys
from pathlib import Path

import pytest

import plait
from plait.sources import read_documents

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(script, **options):
    command = [sys.executable, "-W", "error", str(EXAMPLES / script)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("quickstart.py", "1 paris "),
        ("own_vectors.py", "1 7 4.0"),
        ("cascade.py", "bm25:1000+bi_encoder:1000 > colbert:3 within 1000ms"),
        ("changing_index.py", "expects the new note and finds: ['dentist-2', 'shopping']"),
    ],
)
def test_example(tmp_path, script, said):
    done = run(script, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
    assert not [*tmp_path.iterdir()], "examples leave nothing behind"


def test_demo_leaves_others_folders_alone(tmp_path):
    (tmp_path / "demo_index").mkdir()
    (tmp_path / "demo_index" / "letter.txt").write_text("Dear")
    done = run("demo.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "is not this demo's" in done.stderr
    assert (tmp_path / "demo_index" / "letter.txt").read_text() == "Dear"


@pytest.mark.slow
def test_demo_and_the_commands_it_names(tmp_path):
    first = next(iter(read_documents(EXAMPLES / "cranfield")))
    with plait.Index.create(tmp_path / "demo_index") as earlier:  # is replaced
        earlier.add([first.text], ids=[first.id], metadata=[first.metadata])
    done = run("demo.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "indexed 1,398 abstracts" in done.stdout
    assert "2 without text were left out" in done.stdout
    assert "encode: 100 %" in done.stderr
    assert done.stderr.count("\n") < 100
    ndcg = float(done.stdout.split("nDCG@10 ")[1].split()[0])
    assert ndcg > 0.343, "BM25's"
    commands = [
        line.strip() for line in done.stdout.split("next, type")[1].splitlines() if "demo_index" in line
    ]
    assert len(commands) == 3
    for command in commands:
        said = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert said.stderr == ""
    assert float(said.stdout.split("nDCG@10 ")[1].split()[0]) == pytest.approx(ndcg, abs=0.0006)
