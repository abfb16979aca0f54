"""plait compact."""

import json

from .conftest import write_lines


def inspected(plait, folder):
    return json.loads(plait("inspect", folder, "--json").out)


def test_compact(plait, own, tmp_path):
    more = write_lines(tmp_path / "more.jsonl", [{"_id": "more", "text": "More bread."}])
    assert plait("add", own, more).code == 0
    assert plait("delete", own, "sea").code == 0
    assert (inspected(plait, own)["segments"], inspected(plait, own)["deleted"]) == (2, 1)
    done = plait("compact", own)
    assert (done.code, done.err) == (0, "")
    assert done.out == "merged 2 segments into 1; 1 deleted document gone\n"
    assert (inspected(plait, own)["segments"], inspected(plait, own)["deleted"]) == (1, 0)
    assert plait("search", own, "bread and flour", "--json").lines[0]["id"] == "bread"
    assert plait("compact", own).out == f"nothing to do: {own} has 1 segment\n"


def test_no_compact(plait, own, tmp_path):
    for number in range(8):
        more = write_lines(tmp_path / "more.jsonl", [{"_id": f"more {number}", "text": "More bread."}])
        assert plait("add", own, more, "--no-compact").code == 0
    assert plait("delete", own, "more 0", "--no-compact").code == 0
    assert inspected(plait, own)["segments"] == 9
    assert plait("delete", own, "more 1").code == 0
    assert inspected(plait, own)["segments"] == 1
