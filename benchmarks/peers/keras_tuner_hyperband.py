"""KerasTuner's Hyperband with the same network in Keras on PyTorch, padded and masked, as its tutorials do.

Hyperband chooses the number of its trials itself.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import keras_tuner
import numpy as np
from common import BATCH_SIZE, EMBEDDING_SIZE, EPOCHS, HIDDEN_SIZES, LEARNING_RATES, LIMITS, prepare, record
from keras import layers

from models.training.scores import macro_f1
from preprocessing.encoding import EncodedTexts


def padded(texts: EncodedTexts, words: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.where(texts.token_ids < words, texts.token_ids, 1)
    rows = [ids[start:end] for start, end in zip(texts.offsets[:-1], texts.offsets[1:], strict=True)]
    sequences = keras.utils.pad_sequences(rows, LIMITS.max_tokens, padding="post", truncating="post")
    return sequences, texts.labels.astype(np.int64)


class MacroF1(keras.callbacks.Callback):
    """Adds the validation macro-F1 to an epoch's logs, and notes it."""

    def __init__(self, inputs: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self.inputs, self.labels = inputs, labels

    def __deepcopy__(self, memo: object) -> "MacroF1":  # of each trial; the texts are shared
        return MacroF1(self.inputs, self.labels)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        predictions = self.model.predict(self.inputs, batch_size=128, verbose=0).argmax(axis=1)
        score = macro_f1(self.labels, predictions)
        rate = float(self.model.optimizer.learning_rate)
        record(score, {"hidden_size": self.model.layers[1].forward_layer.units, "learning_rate": rate})
        assert logs is not None
        logs["val_macro_f1"] = score


def main() -> None:
    prepared = prepare()
    words = LIMITS.kept_words(prepared.word_counts)
    training, validation = (padded(texts, words) for texts in (prepared.training, prepared.validation))

    def build(parameters: keras_tuner.HyperParameters) -> keras.Model:
        size = parameters.Int("hidden_size", *HIDDEN_SIZES, sampling="log")
        rate = parameters.Float("learning_rate", *LEARNING_RATES, sampling="log")
        model = keras.Sequential(
            [
                layers.Embedding(words, EMBEDDING_SIZE, mask_zero=True),
                layers.Bidirectional(layers.LSTM(size)),
                layers.Dropout(0.5),
                layers.Dense(len(prepared.classes), activation="softmax"),
            ]
        )
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        return model

    tuner = keras_tuner.Hyperband(
        build,
        objective=keras_tuner.Objective("val_macro_f1", "max"),
        max_epochs=EPOCHS,
        seed=0,
        directory=".",
        project_name="r8",
    )
    tuner.search(*training, epochs=EPOCHS, batch_size=BATCH_SIZE, callbacks=[MacroF1(*validation)], verbose=0)


if __name__ == "__main__":
    main()
