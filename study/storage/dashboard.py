"""The note that the dashboard shows for a study: what is searched, how to read it and, later, a report's results."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from optuna.study import Study

from study.configuration import StudyConfig
from study.formatting import METRIC_TITLES, describe_search
from study.markdown import markdown_text

VERDICT = "## What study.report has found"
HOW_TO_READ = """
- The value of a trial is the validation {metric} of its best epoch since the learning rate has fallen to half its peak.
  The highest one is optimistic: it is the best of many tries on one validation split. `python -m study.report` says
  what remains of it.
- *Intermediate values*: what the value of the trial would be if it ended with this epoch. Lines that stop early are
  pruned trials.
- A trial's page has its learning curve, its confusion matrix on validation and its log, if the dashboard was started
  with `--artifact-dir`.
"""


def note_search(study: Study, configuration: StudyConfig) -> None:
    """Write the note that says what is searched."""
    from optuna_dashboard import save_note  # takes a second to import

    epochs, metric = configuration.base.training.epochs, METRIC_TITLES[configuration.metric]
    about = (
        f"Texts: {configuration.source.name}, split seed {configuration.split_seed}. Sampler: {configuration.sampler}, "
        f"pruner: {configuration.pruner}, at most {epochs} epochs a trial."
    )
    save_note(study, f"{describe_search(configuration)}\n\n{markdown_text(about)}\n{HOW_TO_READ.format(metric=metric)}")


def note_verdict(study: Study, sentences: Sequence[str], page: Path) -> None:
    """Add a report's results to the note of the search: the verdict first, at the end the path of the page."""
    from optuna_dashboard import get_note, save_note

    verdict, *others = map(markdown_text, sentences)
    above = get_note(study).partition(VERDICT)[0].rstrip()
    listed = "\n".join(f"- {sentence}" for sentence in others)
    save_note(study, f"{above}\n\n{VERDICT}\n\n**{verdict}**\n\n{listed}\n\nThe whole report: `{page}`\n")


def browse_command(url: str, artifact_dir: str | None) -> str:
    """The command that opens the dashboard; a password in the URL is masked."""
    from study.errors import safe_url

    command = ["optuna-dashboard", safe_url(url)]
    if artifact_dir is not None:
        folder, here = Path(artifact_dir), Path.cwd()
        command += ["--artifact-dir", str(folder.relative_to(here) if folder.is_relative_to(here) else folder)]
    return shlex.join(command)
