"""Prepares the texts of a study, or opens them in the cache, with a progress display and notes for the user."""

from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from data.wheels import OnDownload
from models.learners.learner import Settings
from models.registry import find_learner, make_learner
from preprocessing.prepared import PreparedTexts, prepare_for_search
from preprocessing.pretrained import check_bert_extra
from preprocessing.word_pieces import WordPieces, read_word_pieces
from preprocessing.word_vectors import prepare_vectors
from study.analysis.texts import truncated_texts, warnings_about
from study.configuration import StudyConfig
from study.downloads import downloading
from study.errors import StudyError


def with_encoder(configuration: StudyConfig, console: Console) -> StudyConfig:
    """The configuration with the current version of BERT's encoder, which all other commands then require.

    Raises `UserError` when there is none.
    """
    base = configuration.base
    if base.pretrained is None:
        return configuration
    for package in find_learner(configuration.model).packages(base):
        check_bert_extra(package)
    with downloading(console) as on_download:
        encoder = base.find_encoder(Path(configuration.cache_dir), on_download=on_download)
    return replace(configuration, base=replace(base, encoder=encoder.version))


def prepare_texts(
    configuration: StudyConfig, console: Console, *, device: torch.device, warn: bool = True
) -> PreparedTexts:
    """Prepare the texts and what else the trials share, and say what they are; see the functions below."""
    prepared = open_texts(configuration, console)
    prepare_shared(configuration, prepared, console, device=device)
    tell_texts(configuration, prepared, console, warn=warn)
    return prepared


def open_texts(configuration: StudyConfig, console: Console) -> PreparedTexts:
    """Prepare the texts. Raises `UserError` for some that cannot be used, or a cache that cannot be written."""
    with downloading(console) as on_download:
        prepared = prepare_for_search(
            configuration.split(),
            cache_dir=Path(configuration.cache_dir),
            pieces=word_pieces_of(configuration, on_download=on_download),
            on_event=console.print,
            on_download=on_download,
        )
    most = configuration.base.limits.max_training_texts
    if most is not None and most < len(prepared.classes):
        raise StudyError(
            f"--max-training-texts {most} is less than a text for each of {len(prepared.classes)} classes."
        )
    return prepared


def prepare_shared(
    configuration: StudyConfig, prepared: PreparedTexts, console: Console, *, device: torch.device
) -> None:
    """Prepare what the trials share besides the texts: word vectors, features of a frozen encoder, on the `device`.

    Raises `UserError`.
    """
    base = configuration.base
    if source := base.vectors:
        vectors = prepare_vectors(
            source, prepared.vocabulary, cache_dir=Path(configuration.cache_dir), on_event=console.print
        )
        counts = prepared.word_counts[: base.limits.kept_words(prepared.word_counts)]
        console.print(f"Vectors: {source.name}, {vectors.coverage(counts)}.")
    compute_features(configuration, prepared, console, device=device)


def tell_texts(configuration: StudyConfig, prepared: PreparedTexts, console: Console, *, warn: bool = True) -> None:
    """Say what the texts are, and what was noticed; `warn`: of what may spoil scores, too."""
    base = configuration.base
    console.print(
        f"Texts: {describe_training_texts(base, prepared)} for training, "
        f"{len(prepared.validation):,} for validation, "
        f"{prepared.test_texts:,} held back for the test; {len(prepared.classes)} classes; "
        f"{describe_words(base, prepared)}."
    )
    truncated = truncated_texts(prepared.training, base.limits.max_tokens) if base.pretrained is None else None
    for note in (*prepared.notes, *(warnings_about(prepared, truncated) if warn else [])):
        console.print(f"Note: {note}")


def training_texts(settings: Settings, prepared: PreparedTexts) -> int:
    """The number of texts that a trial trains on."""
    there, most = len(prepared.training), settings.limits.max_training_texts
    return there if most is None else min(there, most)


def describe_training_texts(settings: Settings, prepared: PreparedTexts) -> str:
    """The number of training texts, and of how many where they are limited."""
    there, used = len(prepared.training), training_texts(settings, prepared)
    return f"{there:,}" if used == there else f"{used:,} of {there:,}"


def describe_words(settings: Settings, prepared: PreparedTexts) -> str:
    if settings.pretrained is not None:
        return f"{len(prepared.word_counts):,} word pieces"
    known = settings.limits.kept_words(prepared.word_counts)
    return f"{known:,} words known of {len(prepared.word_counts):,} in training"


def shares_features(configuration: StudyConfig) -> bool:
    """Whether all trials learn from features that are computed once."""
    return find_learner(configuration.model).shares_features(configuration.base)


def compute_features(
    configuration: StudyConfig, prepared: PreparedTexts, console: Console, *, device: torch.device
) -> None:
    """Compute the features of a frozen encoder, so that the workers find them in the cache."""
    if not shares_features(configuration):
        return
    learner = make_learner(configuration.base, prepared, Path(configuration.cache_dir), device)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Computing features", visible=False)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        learner.prepare(on_event=console.print, on_progress=on_progress)


def word_pieces_of(configuration: StudyConfig, *, on_download: OnDownload | None = None) -> WordPieces | None:
    """The tokenizer of the study's model; None for a model of words. Raises `UserError`."""
    base = configuration.base
    if base.pretrained is None:
        return None
    encoder = base.find_encoder(Path(configuration.cache_dir), on_download=on_download)
    return read_word_pieces(encoder, max_tokens=base.limits.max_tokens)
