"""The search: the only package that knows Optuna and databases."""
# ruff: noqa: PTH100, PTH120

import os  # not pathlib, which could be a user's own file
import sys

# `python -m study.run` puts the current folder first, so that a user's own models.py or rich.py would be imported.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    _root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.realpath(sys.path[0]) != os.path.realpath(_root):
        sys.path[:1] = [] if _root in sys.path[1:] else [_root]
