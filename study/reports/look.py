"""A look at the texts from beginning to end: prepare, count, fit a linear model, estimate, tell."""

from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from data.files import replacing
from data.source import Split
from models.registry import DEFAULT_MODEL
from preprocessing.prepared import prepare_for_search
from study.analysis.linear_look import linear_look
from study.analysis.texts import text_facts, warnings_about
from study.errors import StudyError
from study.formatting import format_seconds, plural
from study.model_settings import DEFAULTS
from study.reports.pages import render_page
from study.reports.texts import look_sentences, look_tables, text_tables
from study.trials.texts import downloading
from study.workers.devices import default_workers, find_study_device
from study.workers.estimate import estimate_search


def look_at(split: Split, *, cache_dir: Path, output: Path | None, console: Console) -> None:
    """Print what there is to know, and write it to a page. Raises `UserError`."""
    if output and output.is_dir():
        raise StudyError(f"{output} is a folder; name a file with --output.")
    settings = DEFAULTS[DEFAULT_MODEL]
    with downloading(console) as on_download:
        prepared = prepare_for_search(split, cache_dir=cache_dir, on_event=console.print, on_download=on_download)
    facts = text_facts(prepared, settings.limits)
    warnings = warnings_about(prepared, facts.truncated, facts.duplicates)
    waiting = console.status("Fitting a linear model, and timing a few batches.")
    with waiting if console.is_terminal else nullcontext():
        look = linear_look(prepared)
        device = find_study_device("auto")
        workers = default_workers(device, are_small=True)
        seconds = estimate_search(settings, prepared, cache_dir=cache_dir, device=device, workers=workers)
    about = format_seconds(60 * max(1, round(seconds / 60))).removesuffix(" 00 s")
    estimate = f"A search of 50 trials (study.run) will take about {about} here, with {plural(workers, 'worker')}."
    sentences = look_sentences(prepared, facts, look, warnings=warnings, estimate=estimate)
    for sentence in sentences:
        console.print(sentence)
    if output:
        headline, *paragraphs = sentences
        page = render_page(
            "look.html",
            name=split.source.name,
            headline=headline,
            paragraphs=paragraphs,
            tables=[*text_tables(facts), *look_tables(look)],
        )
        try:
            with replacing(output) as temporary:
                temporary.write_text(page, encoding="utf-8")
        except OSError as error:
            raise StudyError(f"{output} cannot be written: {error.strerror or error}. Name another --output.") from None
        console.print(f"Written: {output}")
