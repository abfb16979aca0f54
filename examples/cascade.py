"""A search in stages: two lists as one, late interaction that puts them in order, and a budget that holds."""

import tempfile
from pathlib import Path

import plait

PASSAGES = {
    "paris": "Paris is the capital of France.",
    "seine": "The Seine runs through Paris to the English Channel.",
    "berlin": "Berlin has been the capital of Germany since 1990.",
    "baguette": "A baguette is baked from flour, water, yeast and salt.",
}

with tempfile.TemporaryDirectory() as folder:
    index = plait.Index.create(Path(folder, "my_index"))
    index.add(list(PASSAGES.values()), ids=list(PASSAGES))

    pipeline = plait.Pipeline(index).fuse(bm25=1000, bi_encoder=1000).colbert(3).within(1000)
    print(pipeline)
    hits = pipeline.search("What is the capital of France?")
    for hit in hits:
        scores = ", ".join(f"{stage} {score:.2f}" for stage, score in hit.scores.items())
        print(hit.rank, hit.id, f"({scores})")
    print("complete" if hits.complete else f"ran out of time: {hits.stopped}")
    print("milliseconds:", {stage: round(milliseconds, 1) for stage, milliseconds in hits.timings.items()})
    index.close()
