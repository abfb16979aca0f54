"""Text in, hits out: the built-in model, no network."""

import tempfile
from pathlib import Path

import plait

PASSAGES = [
    "Paris is the capital of France.",
    "The Seine runs through Paris to the English Channel.",
    "Berlin has been the capital of Germany since 1990.",
    "A baguette is baked from flour, water, yeast and salt.",
]

with tempfile.TemporaryDirectory() as folder:
    index = plait.Index.create(Path(folder, "my_index"))  # or model="path/to/checkpoint"
    index.add(PASSAGES, ids=["paris", "seine", "berlin", "baguette"], metadata=[{"lang": "en"}] * 4)

    for hit in index.search("What is the capital of France?", k=3):
        print(hit.rank, hit.id, f"{hit.score:.2f}", hit.text)

    passage_id, rank, score = index.search("How is bread made?", k=1)[0]  # the field's triple
    print(passage_id, rank, f"{score:.2f}")
    index.close()
