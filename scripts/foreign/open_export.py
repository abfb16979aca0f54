"""Opens an index that `plait export --format colbert` wrote, and prints colbert-ai's scores of all passages.

Runs in colbert-ai's environment (make_foreign_indexes.py): python open_export.py FOLDER
"""

import json
import sys
from pathlib import Path

import colbert_ai

print(json.dumps(colbert_ai.scores(Path(sys.argv[1]))))
