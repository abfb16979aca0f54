"""plait compact, verify."""

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
    assert plait("compact", own).out == f"nothing to merge: {own} has 1 segment\n"


def test_compact_retrains(plait, own):
    held = inspected(plait, own)["documents"]
    assert plait("delete", own, "sea").code == 0
    before = plait("search", own, "bread and flour", "--json").lines
    done = plait("compact", own, "--retrain", "--timeout", "1")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"encoded and compressed {held - 1} documents anew; 1 deleted document gone\n"
    assert plait("search", own, "bread and flour", "--json").lines == before


def test_compact_says_what_only_retraining_merges(plait, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("plait.store.choice.MIN_CODEC_TOKENS", 20)
    monkeypatch.setattr("plait.store.choice.RETRAIN_FACTOR", 2)
    new = tmp_path / "new"
    assert plait("index", corpus, "-o", new).code == 0
    assert plait("compact", new).err == ""
    more = [{"_id": f"more {n}", "text": f"Rivers of the north carry salt and ice, {n}."} for n in range(30)]
    assert plait("add", new, write_lines(tmp_path / "more.jsonl", more)).code == 0
    assert inspected(plait, new)["codecs"] == 2
    done = plait("compact", new)
    assert "has 2 codecs" in done.err
    assert "--retrain" in done.err
    assert plait("compact", new, "--retrain").err == ""
    assert (inspected(plait, new)["codecs"], inspected(plait, new)["segments"]) == (1, 1)


def test_compact_adds_single_vectors(plait, corpus, tmp_path):
    new = tmp_path / "new"
    assert plait("index", corpus, "-o", new, "--no-bi-encoder").code == 0
    done = plait("compact", new, "--bi-encoder")
    assert (done.code, done.err) == (0, "made the single vectors of 6 documents\n")
    assert inspected(plait, new)["bytes_bi_encoder"] > 6 * 196
    found = plait("search", new, "What is the capital of France?", "--pipeline", "bi:2", "--json").lines
    assert found[0]["hits"][0]["id"] == "paris"
    assert plait("compact", new, "--bi-encoder").err == ""  # they are there
    assert plait("verify", new).out == f"{new} is sound\n"


def test_no_compact(plait, own, tmp_path):
    for number in range(8):
        more = write_lines(tmp_path / "more.jsonl", [{"_id": f"more {number}", "text": "More bread."}])
        assert plait("add", own, more, "--no-compact").code == 0
    assert plait("delete", own, "more 0", "--no-compact").code == 0
    assert inspected(plait, own)["segments"] == 9
    assert plait("delete", own, "more 1").code == 0
    assert inspected(plait, own)["segments"] == 1


def test_verify(plait, own):
    assert plait("verify", own).out == f"{own} is sound\n"
    assert plait("verify", own, "--json").out == ""
    (own / "segments" / "000099").mkdir()
    sound = plait("verify", own)
    assert sound.code == 0
    assert sound.out.startswith(f"harmless: {own}/segments/000099: ")
    file = next(own.rglob("vectors.npy"))
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    broken = plait("verify", own)
    assert broken.code == 1
    assert broken.out.startswith(f"{file}: does not match its checksum\nharmless: ")
    assert broken.err == f"error: 1 problem in {own}: `plait repair` saves what can be saved\n"
    assert plait("verify", own, "--json").lines[0] == {
        "path": str(file),
        "reason": "does not match its checksum",
        "harmless": False,
    }
    assert plait("verify", own.parent).code == 1


def test_backup(plait, own, tmp_path):
    done = plait("backup", own, tmp_path / "copy")
    assert (done.code, done.out) == (0, f"copied {own} to {tmp_path / 'copy'}\n")
    assert (
        plait("search", tmp_path / "copy", "bread", "--json").out
        == plait("search", own, "bread", "--json").out
    )
    again = plait("backup", own, tmp_path / "copy")
    assert again.code == 1
    assert "exists already" in again.err


def test_export_and_index_again(plait, own, tmp_path):
    written = plait("export", own, "-o", tmp_path / "docs.jsonl", "--vectors")
    assert (written.code, written.out) == (0, f"wrote 6 documents to {tmp_path / 'docs.jsonl'}\n")
    assert plait("index", tmp_path / "docs.jsonl", "-o", tmp_path / "again").code == 0
    assert plait("export", tmp_path / "again").out == plait("export", own).out
    assert plait("export", own).lines[0] == {
        "id": "paris",
        "text": "France Paris is the capital of France.",
        "metadata": {"title": "France", "lang": "en"},
    }


def test_repair(plait, own, tmp_path):
    file = next(own.rglob("vectors.npy"))
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = plait("repair", own, tmp_path / "new")
    assert (done.code, done.err) == (0, "")
    assert (
        done.out
        == f"damaged: {file}: does not match its checksum\nsaved 0 documents\nencoded 6 documents again\n"
    )
    assert plait("search", tmp_path / "new", "bread", "--json").lines[0]["id"] == "bread"
    assert plait("repair", own, tmp_path / "more", "--json").lines[0]["lost"] == []
    again = plait("repair", own, tmp_path / "new")
    assert (again.code, again.out) == (1, "")
