"""Chooses the precision of a new study's training by a short measurement."""

from dataclasses import replace

import numpy as np

from models.learner import Learner
from models.precision import Precision, multiplies_bfloat16

BATCHES = 4  # per measurement
FASTER = 1.2  # times as fast bfloat16 must be, to be worth its rounding


def measured_precision(learner: Learner) -> tuple[Precision, float]:
    """The precision for the learner's trainings, and how many times as fast bfloat16 is.

    Where there is no choice, the precision is `auto` and nothing is measured.
    """
    if "precision" in learner.ignored_fields or learner.shares_features(learner.settings):
        return "auto", 1.0
    if not multiplies_bfloat16(learner.device):
        return "auto", 1.0
    ratio = _seconds(learner, "float32") / _seconds(learner, "bfloat16")
    return ("bfloat16" if ratio >= FASTER else "float32"), ratio


def _seconds(learner: Learner, precision: Precision) -> float:
    """The time of some batches of texts of medium length, after as many that warm up."""
    settings, texts = learner.settings, learner.prepared.training
    by_length = np.argsort(texts.lengths, kind="stable")
    first = max(0, (len(by_length) - learner.batch_size) // 2)
    batch = by_length[first : first + learner.batch_size]
    training = replace(settings.training, epochs=2, batch_size=len(batch), batch_tokens=None, precision=precision)
    sample = replace(
        learner,
        settings=replace(settings, training=training, vectors=None),
        prepared=replace(
            learner.prepared, training=texts.take(np.tile(batch, BATCHES)), validation=texts.take(batch[:1])
        ),
    )
    return min(epoch.seconds for epoch in sample.fit().curve)
