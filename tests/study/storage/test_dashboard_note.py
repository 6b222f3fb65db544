"""The study's note in the dashboard."""

from pathlib import Path
from typing import Any

from optuna_dashboard import get_note, save_note

from study.storage.dashboard import VERDICT, note_verdict


def test_the_note_says_what_is_searched_and_a_report_adds_its_verdict_without_losing_text(toy: Any) -> None:
    toy.searched("--trials", 1)
    study = toy.load()
    started = get_note(study)
    assert started.startswith("Search: highest validation macro-F1 over hidden_size 16-256 (log)")
    assert "sampler: tpe" in started.lower()
    save_note(study, f"{started}\nMine: look at trial 7.")
    for verdict in ("worse", "better"):
        note_verdict(study, [f"It is {verdict}.", "The mean is 0.9."], Path("reports/toy-lstm/report.html"))
    note = get_note(study)
    assert note.startswith(started.rstrip())
    assert "Mine: look at trial 7." in note
    assert note.count(VERDICT) == 1
    assert "**It is better.**\n\n- The mean is 0.9.\n\nThe whole report: `reports/toy-lstm/report.html`" in note
    assert "worse" not in note
    assert toy.run("--trials", 2) == 0
    assert get_note(study) == note


def test_a_sentence_of_a_report_is_escaped_in_the_note(toy: Any) -> None:
    toy.searched("--trials", 1)
    study = toy.load()
    note_verdict(study, ["It is *better*.", "Left out: <script>alert(1)</script>."], Path("report.html"))
    assert r"**It is \*better\*.**" in get_note(study)
    assert r"- Left out: \<script>alert(1)\</script>." in get_note(study)
