"""Linear classifiers of each class against all others, by LIBLINEAR (Fan et al. 2008), as scikit-learn wraps it."""

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.tfidf import SparseRows

MAX_ITERATIONS = 10_000  # of LIBLINEAR; R8 takes up to 1,300 of them (logistic regression with C = 1,000)
TOLERANCE = 0.1  # LIBLINEAR's own; 0.0001 gives the same macro-F1 on R8, R52 and 20ng, in up to three times the time

ClassifierName = Literal["svm", "logistic_regression"]


def fit_one_against_rest(
    classifier: ClassifierName, rows: SparseRows, labels: Tensor, *, features: int, c: float, balance: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Weights (classes, features) and biases (classes,) for labels from 0 to classes - 1, each of which occurs.

    `c`: the inverse strength of the regularisation; `balance`: see `class_weights`.
    """
    import joblib
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    columns, values, offsets = (tensor.numpy() for tensor in rows)
    values = values.astype(np.float64)  # as the solver wants it, which would convert it for every class
    matrix = csr_array((values, columns.astype(np.int32), offsets.astype(np.int32)), (len(offsets) - 1, features))
    # With more texts than features, scikit-learn would solve the primal problem, for which the tolerance is too large.
    options = {"dual": True, "tol": TOLERANCE, "max_iter": MAX_ITERATIONS, "random_state": seed}
    # One-vs-rest logistic regression is as good on R8 as a multinomial one, and faster for most C.
    make = LinearSVC if classifier == "svm" else partial(LogisticRegression, solver="liblinear")
    of_class = class_weights(labels, balance).tolist()
    is_binary = len(of_class) == 2  # one classifier for both classes
    rest = of_class[0] if is_binary else 1.0

    def fit(one: int) -> Any:
        weighted = make(C=c, class_weight={True: of_class[one], False: rest}, **options)
        return weighted.fit(matrix, labels.numpy() == one)

    fitted = joblib.Parallel()(joblib.delayed(fit)(one) for one in range(int(is_binary), len(of_class)))
    weights, biases = (
        torch.from_numpy(np.concatenate(arrays)).float()
        for arrays in zip(*((estimator.coef_, estimator.intercept_) for estimator in fitted), strict=True)
    )
    if is_binary:
        return torch.cat([-weights, weights]), torch.cat([-biases, biases])
    return weights, biases


def class_weights(labels: Tensor, balance: float) -> Tensor:
    """How much a text of each class (classes,) counts: (mean size of a class / its size) ** `balance`.

    `labels`: from 0 to classes - 1, each of which occurs. With 1, this is scikit-learn's "balanced".
    """
    sizes = torch.bincount(labels)
    return (len(labels) / (len(sizes) * sizes)) ** balance
