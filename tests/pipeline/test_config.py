"""Pipelines from TOML."""

import pytest

from plait import Pipeline
from plait.errors import InvalidParameter, SourceNotFound

from .conftest import Finder, Order, SharedWords

STAGES = """
index = "{index}"
budget_ms = 500

[[stages]]
fuse = "minmax"
lists = [
    {{ retriever = "colbert", k = 4, weight = 0.7 }},
    {{ retriever = "colbert", k = 3, budget_ms = 20 }},
]
k = 5

[[stages]]
reranker = "colbert"
k = 3
budget_ms = 12.5
"""


def test_a_file_with_stages(texts_index, tmp_path):
    (tmp_path / "pipeline.toml").write_text(STAGES.format(index=texts_index))
    pipeline = Pipeline.from_config(tmp_path / "pipeline.toml")
    assert repr(pipeline) == ("minmax(colbert:4*0.7, colbert:3@20ms):5 > colbert:3@12.5ms within 500ms")
    assert pipeline.search("What is the capital of France?")[0].id == "paris"


def test_paths_are_relative_to_the_file(texts_index, tmp_path):
    (tmp_path / "index").symlink_to(texts_index)
    (tmp_path / "pipeline.toml").write_text('index = "index"\npipeline = "colbert:2"\n')
    assert len(Pipeline.from_config(str(tmp_path / "pipeline.toml")).search("capital")) == 2


def test_a_dict_and_options_of_the_call(index):
    config = {"pipeline": "colbert:4 > cross:2", "budget_ms": 900, "cross_encoder": "nowhere"}
    pipeline = Pipeline.from_config(config, index, cross_encoder=SharedWords(), budget_ms=800)
    assert repr(pipeline) == "colbert:4 > cross_encoder:2 within 800ms"
    assert pipeline.search("What is the capital of France?")[0].scores["cross_encoder"] == 5


def test_own_stages_are_named_by_a_configuration(index):
    config = {"stages": [{"retriever": "mine", "k": 4}, {"reranker": "best", "k": 2}]}
    own = {
        "retrievers": [Finder("abcd", "mine")],
        "rerankers": [Order({"a": 1, "b": 2, "c": 3, "d": 4}, "best")],
    }
    assert [hit.id for hit in Pipeline.from_config(config, **own).search("q")] == ["d", "c"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "must have either pipeline, a string, or stages, a list of tables"),
        ({"pipeline": "colbert:1", "stages": []}, "must have either pipeline"),
        ({"pipeline": 3}, "pipeline must be a string, not 3"),
        ({"pipelines": "colbert:1"}, "'pipelines' is unknown; known are budget_ms, cross_encoder, index"),
        ({"stages": []}, "stages must be a list of tables, at least one"),
        ({"stages": ["colbert:3"]}, "stages must be a list of tables, at least one"),
        ({"stages": [{"k": 3}]}, r"stages\[0\] must have one of retriever, reranker and fuse, not none"),
        ({"stages": [{"retriever": "colbert", "size": 3}]}, r"stages\[0\]: 'size' is unknown"),
        ({"stages": [{"retriever": "colbert", "k": 2.5}]}, r"stages\[0\]: k must be a whole number, not 2.5"),
        ({"stages": [{"retriever": "colbert", "k": True}]}, r"stages\[0\]: k must be a whole number"),
        ({"stages": [{"retriever": "colbert"}]}, "expected is : and how many hits to pass on"),
        ({"stages": [{"retriever": "colbert", "k": 2, "lists": []}]}, "has lists, which belong to fuse"),
        ({"stages": [{"fuse": "rrf", "k": 2}]}, "lists must be a list of tables"),
        (
            {"stages": [{"fuse": "rrf", "lists": [{"retriever": 1}]}]},
            r"stages\[0\].lists\[0\]: retriever must",
        ),
        ({"stages": [{"retriever": "colbert", "k": 1, "weight": float("nan")}]}, "must be a finite number"),
        (
            {"pipeline": "colbert:1", "budget_ms": "fast"},
            "budget_ms must be a number of milliseconds above 0",
        ),
        ({"pipeline": "cross:1"}, "column 1: cross_encoder reranks and can't come first"),
    ],
)
def test_wrong_configurations_are_named(index, config, message):
    with pytest.raises(InvalidParameter, match=message):
        Pipeline.from_config(config, index)


def test_wrong_files(tmp_path):
    with pytest.raises(SourceNotFound, match="there is no file"):
        Pipeline.from_config(tmp_path / "nowhere.toml")
    (tmp_path / "broken.toml").write_text("pipeline = \n")
    with pytest.raises(InvalidParameter, match=r"broken\.toml is not TOML"):
        Pipeline.from_config(tmp_path / "broken.toml")
