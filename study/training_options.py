"""The options of `study.run` for what is trained and how: of each, None means the default of the model."""

from typing import Annotated, Literal

import typer

from study.choices import PrecisionName
from study.command_line import count

Epochs = Annotated[
    int | None,
    count(
        "Epochs per trial, at most.",
        most=10_000,
        default="7; cnn 6; up to ten times as many for fewer than 5,000 texts; bert frozen 20, full 3, others 4",
    ),
]
BudgetTexts = Annotated[
    int | None,
    count(
        "Texts that a trial reads in all its epochs together, at most; an epoch of many reads a part of them.",
        most=10_000_000_000,
        default="35,000 per epoch, or each text once; bert, and with --epochs, all in each epoch",
    ),
]
Patience = Annotated[
    int | None,
    count(
        "Epochs without a better score before a trial stops, once its learning rate is below half its peak.",
        most=10_000,
        default="2; bert frozen 5, gradual 4",
    ),
]
MaxTokens = Annotated[
    int | None,
    count(
        "Words per text, the rest is cut off; of lstm and cnn with --space wide the first trial's.",
        most=1_000_000,
        default="200, with few words in all 1000; linear all; bert 128 word pieces",
    ),
]
Truncate = Annotated[
    Literal["head", "tail", "both"] | None,
    typer.Option(help="The part of a longer text that is kept; both: first and last half.", show_default="head"),
]
VocabularySize = Annotated[
    int | None,
    count(
        "Words known at most, the most frequent; of lstm and cnn with --space wide the first trial's.",
        least=3,
        default="30000; linear all",
    ),
]
MinFrequency = Annotated[
    int | None,
    count("Rarer words of the training texts are unknown.", default="2, with few words or short texts 1; linear 1"),
]
Vectors = Annotated[
    str | None,
    typer.Option(
        metavar="glove|FILE",
        help="Pretrained word vectors for --model lstm and cnn: GloVe's, or a text file of them.",
        show_default="none",
    ),
]
Classifier = Annotated[
    Literal["svm", "logistic_regression"] | None,
    typer.Option(help="What --model linear fits to TF-IDF features.", show_default="svm"),
]
Strategy = Annotated[
    Literal["frozen", "full", "gradual", "lora"] | None,
    typer.Option(help="How --model bert is fine-tuned; see docs/models/bert.md.", show_default="frozen"),
]
BertModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The encoder of --model bert: a folder or a model id on the hub.",
        show_default="minilm, all-MiniLM-L6-v2 out of a wheel",
    ),
]
MaxTrainingTexts = Annotated[
    int | None,
    count(
        "Train on a part of the training texts, of each class the same share, with the usual number of epochs.",
        default="all",
    ),
]
Precision = Annotated[
    PrecisionName | None,
    typer.Option(
        help="Precision of matrix products in training; auto: that of the study, for a new one bfloat16 on a CPU "
        "that is clearly faster with it.",
        show_default="auto",
    ),
]
