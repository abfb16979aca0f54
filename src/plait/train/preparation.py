"""What a recipe is about: its documents, queries and judgements, whatever it was given."""

from __future__ import annotations

from collections.abc import Mapping

from plait.errors import InvalidParameter
from plait.evaluate import judged_queries, read_qrels
from plait.sources import read_documents, read_queries
from plait.train.judged import JudgedCorpus, corpus_of_pairs, held_out_ids, read_pairs
from plait.train.queries import generate_queries
from plait.train.recipe import Recipe


def judged_corpus(recipe: Recipe) -> tuple[JudgedCorpus, Mapping[str, int]]:
    """What a recipe is about, as documents, queries and judgements; and counts."""
    data = recipe.data
    how = data.generation
    documents = (
        list(read_documents(data.documents, skip_bad_lines=data.skip_bad_lines)) if data.documents else []
    )
    if data.pairs is not None:
        corpus = corpus_of_pairs(read_pairs(data.pairs), documents, held_out=how.held_out, seed=how.seed)
        return corpus, {}
    if data.queries is None or data.qrels is None:
        return generate_queries(documents, how)
    qrels = read_qrels(data.qrels)
    queries = judged_queries(read_queries(data.queries), qrels)
    if data.test_qrels is not None:
        test = read_qrels(data.test_qrels)
        if both := set(qrels) & set(test):
            raise InvalidParameter(f"the query {min(both)!r} is judged to train and to test: leave it to one")
        known = {**queries, **judged_queries(read_queries(data.queries), test)}
        return JudgedCorpus(documents, known, {"train": qrels, "test": test}), {}
    chosen = held_out_ids(list(queries), how.held_out, how.seed)
    parts: dict[str, dict[str, Mapping[str, int]]] = {"train": {}, "test": {}}
    for key in queries:
        parts["test" if key in chosen else "train"][key] = qrels[key]
    return JudgedCorpus(documents, queries, parts), {}
