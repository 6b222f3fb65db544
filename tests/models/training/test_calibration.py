"""Temperatures and calibration errors of predictions made by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.training.calibration import best_temperature, expected_calibration_error, reliability


@given(st.floats(0.1, 10))
def test_the_temperature_that_logits_were_multiplied_by_is_found(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    calibrated = best_temperature(logits, labels)
    assert calibrated == pytest.approx(1.0, abs=0.1)
    assert best_temperature(logits * temperature, labels) == pytest.approx(calibrated * temperature, rel=1e-2)


@pytest.mark.parametrize(("texts", "probability"), [(4, 0.9), (18, 1 - 0.5 / 19), (998, 1 - 0.5 / 999)])
def test_few_texts_without_a_mistake_do_not_make_a_model_certain(texts: int, probability: float) -> None:
    labels = torch.arange(texts) % 2
    logits = torch.nn.functional.one_hot(labels, 2).float()
    probabilities = (logits / best_temperature(logits, labels)).softmax(dim=1).max(dim=1).values
    assert probabilities.tolist() == pytest.approx([probability] * texts, abs=1e-3)


def test_the_calibration_error_is_the_mean_distance_of_probability_and_accuracy() -> None:
    confidences = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    is_right = np.array([True, True, True, False, True, True])
    assert expected_calibration_error(confidences, is_right) == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)
    low, high = reliability(confidences, is_right)
    assert (low.confidence, low.accuracy, low.share) == pytest.approx((0.6, 1.0, 2 / 6))
    assert (high.confidence, high.accuracy, high.share) == pytest.approx((0.9, 0.75, 4 / 6))


def test_probabilities_of_0_and_1_have_a_bin() -> None:
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0
    assert math.isclose(expected_calibration_error(np.array([1.0]), np.array([False])), 1)
