"""The five systems: scores and losses equal an independent computation, each learns, each comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait.errors import CheckpointError, InvalidParameter
from plait.train import Group, attention_search, load_system, train
from plait.train.batches import batch_of, pack
from plait.types import TokenEmbeddings

torch = pytest.importorskip("torch")

from plait.train.interactions import Vectors, attend, attention_score, max_sim  # noqa: E402
from plait.train.losses import contrastive_loss, distillation_loss  # noqa: E402
from plait.train.systems import start_system  # noqa: E402

SYSTEMS = {
    "colbert": {},
    "bi-encoder": {},
    "cross-encoder": {},
    "poly-encoder": {"vectors": 3},
    "poly-encoder-context": {"vectors": 3, "code_side": "context"},
    "poly-encoder-first": {"vectors": 3, "first_tokens": True},
    "me-bert": {"vectors": 3},
}
OVERFIT = {"steps": 40, "validate_every": 40, "batch_size": 8, "learning_rate": 3e-3, "dropout": 0.0}
LENGTHS = {"query_length": 8, "document_length": 20}


def options_of(name: str) -> dict[str, object]:
    system = "poly-encoder" if name.startswith("poly") else name
    return {"system": system, **SYSTEMS[name], **LENGTHS}


@pytest.fixture(scope="module")
def trained(base: Path, groups: list[Group], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each system after 40 steps on 8 groups, which it is judged on too."""
    folders = {}
    for name in SYSTEMS:
        folders[name] = tmp_path_factory.mktemp("systems") / name
        result = train(
            groups[:8], folders[name], model=base, held_out=groups[:8], **OVERFIT, **options_of(name)
        )
        assert result.first_ndcg < 1.0, name
        assert result.ndcg == 1.0, name
        assert result.rows[-1]["loss"] < 2.5, name
    return folders


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_learns_and_comes_back(trained: dict[str, Path], groups: list[Group], name: str):
    system = load_system(trained[name])
    assert system.name == options_of(name)["system"]
    for group in groups[:8]:
        scores = system.score(group.query, list(group.documents))
        assert scores.argmax() == 0, group
        again = system.score(group.query, list(group.documents)[::-1])
        np.testing.assert_allclose(scores, again[::-1], rtol=1e-4, atol=1e-5)
    assert load_system(trained[name]).fingerprint == system.fingerprint


# ---- scores ----------------------------------------------------------------------------------------------


def hidden_of(system, side: str, text: str) -> np.ndarray:
    """The network's outputs of one text, alone: f64 [tokens, width]."""
    ids = torch.from_numpy(system.tokenize(side, text).ids[None])
    with torch.no_grad():
        return system.network.body(input_ids=ids).last_hidden_state[0].numpy().astype(np.float64)


def softmax(values: np.ndarray) -> np.ndarray:
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", ["poly-encoder", "poly-encoder-context", "poly-encoder-first"])
def test_scores_of_the_poly_encoder(trained: dict[str, Path], groups: list[Group], name: str):
    system = load_system(trained[name]).eval()
    sides = ("query", "document") if name.endswith("context") else ("document", "query")
    for group in groups[:3]:
        found = system.score(group.query, list(group.documents))
        for document, score in zip(group.documents, found, strict=True):
            text = {"query": group.query, "document": document}
            outputs = hidden_of(system, sides[0], text[sides[0]])
            if name.endswith("first"):
                many = outputs[:3]
            else:
                codes = system.codes.detach().numpy().astype(np.float64)
                many = softmax(codes @ outputs.T) @ outputs
            one = hidden_of(system, sides[1], text[sides[1]])[0]
            expected = (softmax(many @ one) @ many) @ one
            assert score == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_scores_of_me_bert(trained: dict[str, Path], groups: list[Group]):
    system = load_system(trained["me-bert"]).eval()
    gain, shift = (value.detach().numpy().astype(np.float64) for value in system.norm.parameters())

    def normed(rows: np.ndarray) -> np.ndarray:
        apart = rows - rows.mean(axis=1, keepdims=True)
        return apart / np.sqrt((apart**2).mean(axis=1, keepdims=True) + 1e-12) * gain + shift

    for group in groups[:3]:
        query = normed(hidden_of(system, "query", group.query)[:1])[0]
        documents = [normed(hidden_of(system, "document", text)[:3]) for text in group.documents]
        expected = [(document @ query).max() for document in documents]
        np.testing.assert_allclose(system.score(group.query, list(group.documents)), expected, rtol=1e-4)


def test_scores_of_the_bi_encoder_and_of_colbert(trained: dict[str, Path], groups: list[Group]):
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    query, documents = groups[0].query, list(groups[0].documents)
    dense = SentenceTransformer(str(trained["bi-encoder"]), device="cpu")
    system = load_system(trained["bi-encoder"])
    vectors = dense.encode(documents)
    means = [hidden_of(system.eval(), "document", text).mean(axis=0) for text in documents]
    np.testing.assert_allclose(vectors, [mean / np.linalg.norm(mean) for mean in means], atol=1e-5)
    np.testing.assert_allclose(system.score(query, documents), vectors @ dense.encode(query), atol=1e-5)
    late = MultiVectorEncoder(str(trained["colbert"]), device="cpu")
    system = load_system(trained["colbert"])
    expected = late.similarity(late.encode_query([query]), late.encode_document(documents)).numpy()
    np.testing.assert_allclose(system.score(query, documents), expected[0], atol=1e-4)


def test_the_cross_encoder_is_the_one_that_plait_runs(trained: dict[str, Path], groups: list[Group]):
    system, fast = load_system(trained["cross-encoder"]), plait.CrossEncoder(trained["cross-encoder"])
    for group in groups[:5]:
        documents = list(group.documents)
        np.testing.assert_allclose(
            system.score(group.query, documents), fast.score(group.query, documents), atol=1e-4
        )


MATRICES = st.tuples(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99)
)


@given(MATRICES)
@settings(max_examples=40, deadline=None)
def test_interactions_ignore_padding_and_are_those_of_numpy(shape: tuple[int, ...]):
    nqueries, ndocuments, qlen, dlen, seed = shape
    rng = np.random.default_rng(seed)
    sides = []
    for count, length in ((nqueries, qlen), (ndocuments, dlen)):
        lengths = rng.integers(1, length + 1, size=count)
        kept = np.arange(length) < lengths[:, None]
        values = rng.normal(size=(count, length, 6)).astype(np.float32)
        sides.append((values, kept))
    (q, qkept), (d, dkept) = sides
    queries, documents = (Vectors(torch.from_numpy(v), torch.from_numpy(k)) for v, k in sides)
    found = max_sim(queries, documents).numpy()
    attended = attention_score(documents, queries.values[:, 0]).numpy()
    for row in range(nqueries):
        for column in range(ndocuments):
            query, document = q[row][qkept[row]], d[column][dkept[column]]
            best = (query @ document.T).max(axis=1).sum()
            assert found[row, column] == pytest.approx(best, rel=1e-4, abs=1e-5)
            context = softmax(q[row, 0] @ document.T) @ document
            assert attended[column, row] == pytest.approx(context @ q[row, 0], rel=1e-4, abs=1e-5)
    codes = rng.normal(size=(3, 6)).astype(np.float32)
    many = attend(torch.from_numpy(codes), documents.values, documents.values, documents.kept).numpy()
    for column in range(ndocuments):
        document = d[column][dkept[column]]
        np.testing.assert_allclose(many[column], softmax(codes @ document.T) @ document, atol=1e-5)


# ---- losses ----------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 4), st.booleans(), st.floats(0.05, 4), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_losses_are_those_of_numpy(count: int, width: int, in_batch: bool, warmth: float, seed: int):
    rng = np.random.default_rng(seed)
    texts = [f"d{number}" for number in range(6)]
    made = []
    for _ in range(count):
        documents = rng.choice(texts, size=rng.integers(1, width + 1), replace=False).tolist()
        teacher = tuple(3 * rng.normal(size=len(documents)))
        made.append(Group(f"q{rng.integers(3)}", tuple(documents), teacher))
    batch = batch_of(made)
    scores = rng.normal(size=(count, len(batch.documents))).astype(np.float32)
    tensors = (torch.from_numpy(scores), torch.from_numpy(batch.own))
    positives = {(group.query, group.documents[0]) for group in made}
    contrast, apart = [], []
    for row, group in enumerate(made):
        column = {text: scores[row, place] for place, text in enumerate(batch.documents)}
        candidates = batch.documents if in_batch else group.documents
        logits = {
            text: column[text] / warmth
            for text in candidates
            if text == group.documents[0] or (group.query, text) not in positives
        }
        contrast.append(np.log(np.exp(list(logits.values())).sum()) - logits[group.documents[0]])
        student = softmax(np.array([column[text] for text in group.documents], dtype=np.float64) / warmth)
        teacher = softmax(np.array(group.scores) / 2)
        apart.append((teacher * np.log(teacher / student)).sum())
    found = contrastive_loss(*tensors, torch.from_numpy(batch.known), temperature=warmth, in_batch=in_batch)
    assert float(found) == pytest.approx(np.mean(contrast), rel=1e-3, abs=1e-4)
    kl = distillation_loss(
        *tensors, torch.from_numpy(batch.teacher), student_temperature=warmth, teacher_temperature=2.0
    )
    assert float(kl) == pytest.approx(np.mean(apart) * warmth**2, rel=1e-3, abs=1e-4)


def test_losses_are_those_of_sentence_transformers(base: Path, groups: list[Group], tmp_path: Path):
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder import losses

    from plait.train import TrainSettings
    from plait.train.step import losses_of

    options = TrainSettings(distillation=1.0, teacher_temperature=2.0, **LENGTHS)
    start_system(base, options, tmp_path / "start")
    chosen = groups[0:40:5]
    system = load_system(tmp_path / "start").eval()
    batch = batch_of(chosen)
    pieces = system.pieces(batch, 4096)
    found = losses_of(system, batch, options, pieces, [system.run(piece) for piece in pieces])
    model = MultiVectorEncoder(str(tmp_path / "start"), device="cpu").eval()
    columns = [[group.query for group in chosen], *zip(*(group.documents for group in chosen), strict=True)]
    features = [
        {**model.preprocess(list(texts), task=task, prompt=model.prompts[task]), "task": task}
        for task, texts in zip(["query"] + ["document"] * 3, columns, strict=True)
    ]
    theirs = losses.MultiVectorMultipleNegativesRankingLoss(model)(features, None)
    assert found["contrastive"].item() == pytest.approx(theirs.item(), rel=1e-4)
    kl = losses.MultiVectorDistillKLDivLoss(model, student_temperature=1.0, teacher_temperature=2.0)
    theirs = kl(features, torch.tensor([group.scores for group in chosen]))
    assert found["distillation"].item() == pytest.approx(theirs.item(), rel=1e-4)


@given(st.lists(st.integers(1, 60), max_size=50), st.integers(1, 200))
def test_every_text_is_packed_once_within_the_budget(lengths: list[int], budget: int):
    pieces = pack(lengths, budget)
    assert sorted(place for piece in pieces for place in piece.tolist()) == list(range(len(lengths)))
    for piece in pieces:
        longest = max(lengths[place] for place in piece)
        assert len(piece) == 1 or longest * len(piece) <= budget


# ---- in an index -----------------------------------------------------------------------------------------


def test_me_bert_documents_in_an_index_are_ranked_as_by_the_system(
    trained: dict[str, Path], groups: list[Group], tmp_path: Path
):
    system = load_system(trained["me-bert"])
    texts = sorted({text for group in groups for text in group.documents})
    index = plait.Index.create(tmp_path / "index", dim=system.dim)
    index.add(vectors=system.encode_documents(texts), ids=texts)
    for query, vectors in zip(
        [group.query for group in groups], system.encode_queries([g.query for g in groups]), strict=True
    ):
        assert len(vectors) == 1
        scores = dict(zip(texts, system.score(query, texts), strict=True))
        hits = index.search(vectors, k=10)
        np.testing.assert_allclose([hit.score for hit in hits], [scores[hit.id] for hit in hits], rtol=1e-4)
        assert np.array(sorted(scores.values())[-10:])[::-1] == pytest.approx(
            [hit.score for hit in hits], rel=1e-4
        )


@pytest.mark.parametrize("name", ["poly-encoder", "poly-encoder-context", "poly-encoder-first"])
def test_poly_encoder_vectors_in_an_index_are_found_by_its_own_score(
    trained: dict[str, Path], groups: list[Group], tmp_path: Path, name: str
):
    system = load_system(trained[name])
    texts = sorted({text for group in groups for text in group.documents})
    index = plait.Index.create(tmp_path / "index", model=system)
    index.add(texts, ids=texts)
    for group in groups[::4]:
        scores = dict(zip(texts, system.score(group.query, texts), strict=True))
        hits = attention_search(index, group.query, k=7)
        assert [hit.rank for hit in hits] == list(range(1, 8))
        np.testing.assert_allclose([hit.score for hit in hits], [scores[hit.id] for hit in hits], rtol=1e-4)
        best = sorted(scores.values(), reverse=True)[:7]
        np.testing.assert_allclose([hit.score for hit in hits], best, rtol=1e-4)
        assert hits[0].text == hits[0].id
    chosen = texts[:5]
    assert {hit.id for hit in attention_search(index, groups[0].query, k=9, ids=chosen)} == set(chosen)


@given(st.integers(1, 30), st.integers(1, 12), st.booleans(), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_attention_search_is_complete(count: int, k: int, context: bool, seed: int):
    import tempfile

    rng = np.random.default_rng(seed)
    lengths = np.ones(count, dtype=np.int64) if context else rng.integers(1, 5, size=count)
    vectors = rng.normal(size=(lengths.sum(), 8)).astype(np.float32)
    query = rng.normal(size=(3 if context else 1, 8)).astype(np.float32) * 2
    documents = TokenEmbeddings(vectors, lengths)
    expected = []
    for document in documents:
        products = (query @ document.T).ravel()
        expected.append(softmax(products) @ products)
    with tempfile.TemporaryDirectory() as folder, plait.Index.create(f"{folder}/index", dim=8) as index:
        index.add(vectors=documents)
        hits = attention_search(index, query, k=k)
    assert len(hits) == min(k, count)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(expected)[::-1][:k], rtol=1e-4, atol=1e-5)


# ---- what is refused -------------------------------------------------------------------------------------


def test_a_folder_without_a_system(trained: dict[str, Path], tmp_path: Path):
    with pytest.raises(CheckpointError, match="holds no trained system"):
        load_system(tmp_path)
    (tmp_path / "system.json").write_text('{"system": "splade"}')
    with pytest.raises(CheckpointError, match="'splade', which is no system"):
        load_system(tmp_path)
    (tmp_path / "system.json").write_text('{"system": "me-bert"}')
    with pytest.raises(CheckpointError, match="can't be read as a me-bert"):
        load_system(tmp_path)


def test_a_system_is_trained_on_as_it_is(trained: dict[str, Path], groups: list[Group], tmp_path: Path):
    options = {**OVERFIT, **options_of("me-bert"), "steps": 1}
    with pytest.raises(InvalidParameter, match="vectors is 5, but the base was trained with 3"):
        train(groups, tmp_path / "more", model=trained["me-bert"], **{**options, "vectors": 5})
    result = train(groups[:8], tmp_path / "more", model=trained["me-bert"], held_out=groups[:8], **options)
    assert result.first_ndcg == 1.0


def test_pairs_alone_train_a_cross_encoder(base: Path, groups: list[Group], tmp_path: Path):
    pairs = [Group(group.query, group.documents[:1]) for group in groups[:8]]
    options = {**OVERFIT, **options_of("cross-encoder")}
    result = train(pairs, tmp_path / "pairs", model=base, held_out=pairs, **options)
    assert result.first_ndcg < 0.8 < 0.9 < result.ndcg
