"""Write the queries and texts that belong to the foreign indexes, for the tests."""

import json
import sys
from pathlib import Path

import corpus
import numpy as np

out = Path(sys.argv[1])
np.save(out / "queries.npy", corpus.queries())
(out / "texts.json").write_text(json.dumps(corpus.texts(), ensure_ascii=False) + "\n", encoding="utf-8")
