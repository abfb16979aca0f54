"""Files of groups: what is read, what is refused, and that nothing held out was trained on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter, SourceNotFound
from plait.train import Group, read_groups, split_groups, write_groups

GROUPS = [
    Group("what is bread made of?", ("Bread is baked from flour.", "Paris is a city."), (9.5, -3.0)),
    Group("capital of France", ("Paris is a city.", "Bread.", "Oil."), id="q7", sources=("bm25", "random")),
    Group("only a pair", ("A document.",)),
]


def test_groups_come_back_as_they_were(tmp_path: Path):
    assert write_groups(tmp_path / "groups.jsonl", GROUPS) == 3
    assert read_groups(tmp_path / "groups.jsonl") == GROUPS
    assert [path.name for path in tmp_path.iterdir()] == ["groups.jsonl"]
    first = json.loads((tmp_path / "groups.jsonl").read_text(encoding="utf-8").splitlines()[2])
    assert first == {"query": "only a pair", "documents": ["A document."]}


def test_a_text_that_comes_often_is_held_once(tmp_path: Path):
    write_groups(tmp_path / "groups.jsonl", GROUPS)
    first, second, _ = read_groups(tmp_path / "groups.jsonl")
    assert first.documents[1] is second.documents[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"query": "q"}', "'documents' is missing"),
        ('{"query": "q", "documents": []}', "at least the positive"),
        ('{"query": "q", "documents": "d"}', "list of strings"),
        ('{"query": "q", "documents": ["d", "  "]}', r"documents\[1\] is empty"),
        ('{"query": 3, "documents": ["d"]}', "query must be a string"),
        ('{"query": "q", "documents": ["d", "e"], "scores": [1]}', "1 for 2"),
        ('{"query": "q", "documents": ["d"], "scores": [true]}', "finite number"),
        ('{"query": "q", "documents": ["d", "e"], "sources": []}', "0 for 1"),
        ('{"query": "q", "documents": ["d"], "teacher": []}', "unknown key 'teacher'"),
        ('["q"]', "one JSON object"),
    ],
)
def test_what_is_no_group_is_named_with_its_line(tmp_path: Path, line: str, reason: str):
    path = tmp_path / "groups.jsonl"
    path.write_text('{"query": "q", "documents": ["d"]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(BadRecord, match=rf"groups.jsonl, line 2: .*{reason}"):
        read_groups(path)


def test_files_without_groups(tmp_path: Path):
    with pytest.raises(SourceNotFound):
        read_groups(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(EmptyCorpus, match="no group"):
        read_groups(tmp_path / "empty.jsonl")


PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=60)


@given(pairs=PAIRS, seed=st.integers(0, 5), share=st.floats(0.1, 0.9))
def test_no_query_and_no_positive_is_on_both_sides(pairs: list[tuple[int, int]], seed: int, share: float):
    groups = [Group(f"q{query}", (f"d{document}",)) for query, document in pairs]
    try:
        train, held = split_groups(groups, share, seed)
    except InvalidParameter:
        return
    assert len(train) + len(held) == len(groups)
    assert train
    assert len(held) >= round(share * len(groups))
    for part in (lambda group: group.query, lambda group: group.documents[0]):
        assert not {part(group) for group in train} & {part(group) for group in held}
    assert (train, held) == split_groups(groups, share, seed)


def test_how_much_is_held_out():
    groups = [Group(f"q{number}", (f"d{number}",)) for number in range(10)]
    assert len(split_groups(groups, 0.3)[1]) == len(split_groups(groups, 3)[1]) == 3
    assert split_groups(groups, 3, seed=1)[1] != split_groups(groups, 3, seed=2)[1]
    for wrong in (0, 10, 0.0, 1.0):
        with pytest.raises(InvalidParameter, match="held_out"):
            split_groups(groups, wrong)


def test_the_light_parts_load_no_torch():
    script = "import sys, plait.train.groups; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
