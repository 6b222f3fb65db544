"""The models, one file each, from token ids to logits. Knows neither Optuna nor databases.

A model builds on `networks`, is trained by `training`, and reaches a study through `learners`.
"""

import os

# oneDNN keeps what it has compiled for each shape, by default for 1,024 of them, and a search has more: every length of
# a batch times every hidden size. A worker grew to 2.7 GB within a default study on R8; with 64 it is as fast. Set
# before PyTorch computes, so here.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
