"""The search: the only package that knows Optuna and databases."""

import sys
from pathlib import Path

# `python -m study.run` puts the current folder first, where a user's own models.py or data.py would be taken for ours.
if sys.argv[:1] == ["-m"]:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
