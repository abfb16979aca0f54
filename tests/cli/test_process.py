"""The command as its own process: signals, pipes, terminals, and what is not imported."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from plait import __version__
from plait.cli.reference import reference

PLAIT = [sys.executable, "-W", "error", "-m", "plait"]


def run(*args, **options):
    command = [*PLAIT, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def test_version_and_help():
    shown = run("--version")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"plait {__version__}\n", "")
    shown = run("--help")
    assert shown.returncode == 0
    assert all(
        name in shown.stdout for name in ("index", "add", "delete", "get", "search", "inspect", "evaluate")
    )
    assert run("searhc").returncode == 2


def test_help_loads_nothing_heavy():
    code = "import sys, plait.cli.main; print(*{'numpy', 'onnxruntime', 'tqdm', 'sqlite3'} & {*sys.modules})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "\n"


def test_search_from_a_shell(made):
    found = run("search", made, "capital of France", "-k", 1, "--json")
    assert (found.returncode, found.stderr) == (0, "")
    assert '"id": "paris"' in found.stdout


def test_the_reader_goes_away(made):
    command = f"{' '.join(PLAIT)} search {made} capital --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("141", "0")  # 0 when all was written before `true` ended


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk(made):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        failed = subprocess.run(
            [*PLAIT, "search", str(made), "capital"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (failed.returncode, failed.stderr) == (1, "error: No space left on device\n")


def test_output_that_can_not_show_a_character(plait, tmp_path):
    (tmp_path / "d.jsonl").write_text('{"_id": "a", "text": "hot \\u65e5\\u672c"}\n')
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    assert plait("index", tmp_path / "d.jsonl", "-o", tmp_path / "new").code == 0
    assert "\\u65e5\\u672c" in run("get", tmp_path / "new", "a", env=latin).stdout
    assert '"hot \\u65e5\\u672c"' in run("get", tmp_path / "new", "a", "--json", env=latin).stdout


def _heed_interrupts():
    """Undo what a background job of a shell inherits, as these tests may be one: it ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("sent", "code", "said"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")]
)
def test_interrupted_while_indexing(tmp_path, sent, code, said):
    (tmp_path / "d.jsonl").write_text('{"text": "the moon and the tides of the sea"}\n' * 50_000)
    new = tmp_path / "new"
    process = subprocess.Popen(
        [*PLAIT, "index", str(tmp_path / "d.jsonl"), "-o", str(new), "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_interrupts,
    )
    try:
        deadline = time.monotonic() + 30
        while not new.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (code, "", said)
    assert not new.exists(), "the next try finds nothing in its way"


def test_bars_on_a_terminal_only(corpus, tmp_path):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [*PLAIT, "index", str(corpus), "-o", str(tmp_path / "new")],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        pass  # the terminal's end
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"encoding" in shown
    assert out == f"indexed 6 documents in {tmp_path / 'new'}\n".encode()


def test_reference_is_up_to_date(request):
    page = request.config.rootpath / "docs" / "cli.md"
    assert page.read_text() == reference(), "run: python -m plait.cli.reference > docs/cli.md"
