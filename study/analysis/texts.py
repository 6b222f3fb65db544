"""What can be said about the texts of a study before any search: classes, lengths, duplicates, scripts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from preprocessing.batches import TextLimits
from preprocessing.duplicates import duplicate_groups
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts
from preprocessing.vocabulary import UNKNOWN_ID

SCRIPTS = {  # by the first pattern that a word matches
    "Latin": r"\p{Latin}",
    "Cyrillic": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Thai": r"\p{Thai}",
    "Chinese or Japanese": r"\p{Han}|\p{Hiragana}|\p{Katakana}",
    "Korean": r"\p{Hangul}",
    "another script": r"\p{L}",
    "digits": r"\p{N}",
}
OTHER_WORDS = "symbols"
MANY_TRUNCATED, FEW, MANY_ACROSS = 0.05, 2, 0.02  # from here on they are warned about
QUANTILES = (0, 0.5, 0.95, 1)


@dataclass(frozen=True)
class ClassCounts:
    name: str
    training: int
    validation: int
    test: int | None  # None: not known before the test split is opened


@dataclass(frozen=True)
class Truncated:
    """What `max_tokens` costs the training texts."""

    max_tokens: int
    texts: int  # that are longer
    of: int
    lost_words: float  # their share of all words

    @property
    def is_much(self) -> bool:
        return self.texts > MANY_TRUNCATED * self.of


@dataclass(frozen=True)
class Duplicates:
    """Texts that are the same as others, or nearly so, by pairs of neighbouring words."""

    same: int  # training texts with the words of an earlier one
    training: int  # training texts with an earlier one that is nearly the same, these included
    across: int  # validation texts with such a training text


@dataclass(frozen=True)
class TextFacts:
    classes: tuple[ClassCounts, ...]  # the largest first
    lengths: tuple[int, ...]  # of the training texts in words, at `QUANTILES`
    truncated: Truncated | None  # this and the next: None for a model with its own word pieces
    known_words: float | None  # share of the words of the validation texts
    duplicates: Duplicates
    scripts: tuple[tuple[str, float], ...]  # with their shares of the training words, the largest first


def text_facts(prepared: PreparedTexts, limits: TextLimits | None) -> TextFacts:
    """The facts on texts that are prepared as words; without `limits`, for a model with its own word pieces."""
    training = prepared.training
    return TextFacts(
        class_counts(prepared),
        tuple(int(length) for length in np.quantile(training.lengths, QUANTILES, method="nearest")),
        truncated_texts(training, limits.max_tokens) if limits else None,
        _known_words(prepared, limits) if limits else None,
        near_duplicates(prepared),
        scripts(prepared),
    )


def warnings_about(
    prepared: PreparedTexts, truncated: Truncated | None, duplicates: Duplicates | None = None
) -> list[str]:
    """What a user should know before hours are spent on these texts, a sentence each with the option that helps."""
    found = []
    if truncated and truncated.is_much:
        found.append(f"{describe_truncated(truncated)} (--max-tokens, --truncate).")
    rare = sum(row.validation <= FEW for row in class_counts(prepared))
    if rare:
        found.append(
            f"{rare:,} of {len(prepared.classes):,} classes have at most {FEW} texts in validation, so that their "
            "scores are mostly chance (--metric accuracy, or join classes)."
        )
    across = (duplicates or near_duplicates(prepared)).across
    if across > MANY_ACROSS * len(prepared.validation):
        found.append(
            f"{across:,} of {len(prepared.validation):,} validation texts are nearly the same as a training text, "
            "which flatters all scores (--group-column keeps texts that belong together on one side)."
        )
    return found


def describe_truncated(truncated: Truncated) -> str:
    if truncated.texts == 0:
        return f"No training text is longer than {truncated.max_tokens:,} words"
    return (
        f"{truncated.texts:,} of {truncated.of:,} training texts are longer than {truncated.max_tokens:,} words and "
        f"are cut, which loses {truncated.lost_words:.0%} of all words"
    )


def class_counts(prepared: PreparedTexts) -> tuple[ClassCounts, ...]:
    sides, test = (prepared.training, prepared.validation), prepared.test_classes
    training, validation = (np.bincount(side.labels, minlength=len(prepared.classes)).tolist() for side in sides)
    rows = [
        ClassCounts(name, training[number], validation[number], None if test is None else test.get(name, 0))
        for number, name in enumerate(prepared.classes)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.training, row.name)))


def truncated_texts(texts: EncodedTexts, max_tokens: int) -> Truncated:
    lengths = texts.lengths
    lost = np.maximum(lengths - max_tokens, 0)
    return Truncated(max_tokens, int((lost > 0).sum()), len(texts), float(lost.sum() / max(1, lengths.sum())))


def _known_words(prepared: PreparedTexts, limits: TextLimits) -> float:
    ids = np.asarray(prepared.validation.token_ids)
    return float(((ids != UNKNOWN_ID) & (ids < limits.kept_words(prepared.word_counts))).mean())


def near_duplicates(prepared: PreparedTexts) -> Duplicates:
    training, validation = prepared.training, prepared.validation
    same, nearly = duplicate_groups(_joined(training, validation))
    repeated, nearly_repeated = (len(training) - len(np.unique(groups[: len(training)])) for groups in (same, nearly))
    across = np.isin(nearly[len(training) :], nearly[: len(training)]).sum()
    return Duplicates(repeated, nearly_repeated, int(across))


def scripts(prepared: PreparedTexts) -> tuple[tuple[str, float], ...]:
    """The scripts of at least a thousandth of the training words."""
    words, counts = prepared.vocabulary.words, np.asarray(prepared.word_counts)
    left, found = np.ones(len(words), bool), {}
    for name, pattern in SCRIPTS.items():
        matches = left & pc.match_substring_regex(words, pattern=pattern).to_numpy(zero_copy_only=False)
        found[name] = int(counts[matches].sum())
        left &= ~matches
    found[OTHER_WORDS] = int(counts[left].sum())
    shares = [(name, count / max(1, int(counts.sum()))) for name, count in found.items()]
    return tuple(sorted((pair for pair in shares if pair[1] >= 0.001), key=lambda pair: -pair[1]))


def _joined(first: EncodedTexts, second: EncodedTexts) -> EncodedTexts:
    offsets: npt.NDArray[np.int64] = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
    return EncodedTexts(
        np.concatenate([first.token_ids, second.token_ids]), offsets, np.concatenate([first.labels, second.labels])
    )
