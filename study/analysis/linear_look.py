"""What a linear model makes of the texts in a few seconds: its scores, its mistakes, the words that it goes by."""

from dataclasses import dataclass

import numpy as np
import torch

from models.linear import LinearConfig, fit_classifier, fit_features
from models.training.scores import accuracy, macro_f1
from preprocessing.batches import stratified_part
from preprocessing.prepared import PreparedTexts

MOST_TEXTS, LEAST_TEXTS = 10_000, 2_000  # of training and of validation: more would take longer than a look may
MOST_FITTED = 500_000  # texts times classes, likewise
MOST_PAIRS, MOST_WORDS = 10, 8
CONFIG = LinearConfig("svm", C=1.0, minimum_texts=2)


@dataclass(frozen=True)
class Mistake:
    actual: str
    predicted: str
    texts: int
    share: float  # of the class's validation texts


@dataclass(frozen=True)
class LinearLook:
    training_texts: int
    validation_texts: int
    accuracy: float
    macro_f1: float
    mistakes: tuple[Mistake, ...]  # the most frequent ones
    words: dict[str, tuple[str, ...]]  # of each class, those that speak for it most


def linear_look(prepared: PreparedTexts) -> LinearLook:
    """Fit on a part of the training texts, and score on a part of the validation texts; deterministic."""
    words, classes = prepared.vocabulary.words, prepared.classes
    texts = min(MOST_TEXTS, max(LEAST_TEXTS, MOST_FITTED // len(classes)))
    training, validation = (stratified_part(side, texts) for side in (prepared.training, prepared.validation))
    features = fit_features(CONFIG, training, validation, vocabulary_size=len(words))
    model = fit_classifier(CONFIG, features, classes=len(classes), seed=0)  # threads would share its random numbers
    with torch.inference_mode():
        predicted = model.score(features.validation).argmax(dim=1).numpy()
    labels = validation.labels
    sizes = np.bincount(labels, minlength=len(classes))
    pairs, counts = np.unique(np.stack([labels, predicted])[:, labels != predicted], axis=1, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    mistakes = [
        Mistake(classes[actual], classes[guess], int(count), float(count / sizes[actual]))
        for (actual, guess), count in zip(pairs.T[frequent].tolist(), counts[frequent].tolist(), strict=True)
    ]
    weights, strongest = torch.topk(model.weight, min(MOST_WORDS, len(model.weight)), dim=0)  # (words, classes)
    ids = model.tfidf.ngrams[strongest].where(weights > 0, 0)  # an n-gram of one word is its id
    telling = {
        name: tuple(words[word].as_py() for word in row if word)
        for name, row in zip(classes, ids.t().tolist(), strict=True)
    }
    return LinearLook(
        len(training),
        len(validation),
        accuracy(labels, predicted),
        macro_f1(labels, predicted),
        tuple(mistakes),
        telling,
    )
