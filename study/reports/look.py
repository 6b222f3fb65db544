"""A look at prepared texts: count, fit a linear model, estimate, tell."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from data.files import replacing
from models.registry import DEFAULT_MODEL
from preprocessing.prepared import PreparedTexts
from study.adaptation import adapted, rules_for
from study.analysis.linear_look import linear_look
from study.analysis.texts import text_facts, warnings_about
from study.errors import StudyError
from study.formatting import format_seconds, plural
from study.model_settings import DEFAULTS
from study.reports.rendering import render_page
from study.reports.texts import look_sentences, look_tables, text_tables
from study.workers.devices import default_workers, find_study_device
from study.workers.estimate import estimate_search


def look_at(prepared: PreparedTexts, *, name: str, cache_dir: Path, output: Path | None, console: Console) -> None:
    """Print what there is to know about prepared texts, and write it to a page. Raises `UserError`."""
    settings = DEFAULTS[DEFAULT_MODEL]
    settings = adapted(settings, rules_for(settings, prepared))
    device = find_study_device("auto")
    workers = default_workers(device, are_small=True)
    waiting = console.status("Fitting a linear model, and timing a few batches.")
    with waiting if console.is_terminal else nullcontext(), ThreadPoolExecutor(1) as pool:
        seconds = estimate_search(settings, prepared, cache_dir=cache_dir, device=device, workers=workers)
        looking = pool.submit(linear_look, prepared)  # beside the search for duplicates
        facts = text_facts(prepared, settings.limits)
        look = looking.result()
    warnings = warnings_about(prepared, facts.truncated, facts.duplicates)
    about = format_seconds(60 * max(1, round(seconds / 60))).removesuffix(" 00 s")
    estimate = f"A search of 50 trials (study.run) will take about {about} here, with {plural(workers, 'worker')}."
    sentences = look_sentences(prepared, facts, look, warnings=warnings, estimate=estimate)
    for sentence in sentences:
        console.print(sentence)
    if output:
        headline, *paragraphs = sentences
        tables = [*text_tables(facts), *look_tables(look)]
        page = render_page("look.html", name=name, headline=headline, paragraphs=paragraphs, tables=tables)
        try:
            with replacing(output) as temporary:
                temporary.write_text(page, encoding="utf-8")
        except OSError as error:
            raise StudyError(f"{output} cannot be written: {error.strerror or error}. Name another --output.") from None
        console.print(f"Written: {output}")
