"""The content of `best_params.json`: the parameters, how certain they are, and how to reproduce them."""

import json
from typing import Any

from study.confirmation.pruning_audit import Audit
from study.confirmation.trainings import Confirmed
from study.reports.contents import Calibration, HoldoutReport, Report
from study.storage.attributes import FINGERPRINT, REPEAT
from study.storage.queries import best_trial


def best_params(report: Report) -> dict[str, Any]:
    """The content of `best_params.json`, as JSON can hold it."""
    configuration = report.configuration
    winner = report.winner
    best = best_trial(report.study, report.configuration.search_space)
    content: dict[str, Any] = {
        "study": report.study.study_name,
        "metric": configuration.metric,
        "parameters": winner.candidate.parameters if winner else best.params if best else None,
        "search": None if best is None else {"trial": best.number, "value": best.value, "parameters": best.params},
        "fingerprint": report.study.user_attrs[FINGERPRINT],
        "versions": report.reproduction.versions,
        "command": {"search": report.reproduction.search, "report": report.reproduction.report},
    }
    if winner:
        content |= {"is_default": winner.candidate.is_default, "confirmed": _confirmed_facts(winner)}
    if report.default:
        content["default"] = _confirmed_facts(report.default)
    if report.ranking:
        content["ranking"] = [
            {"parameters": ranked.candidate.parameters, "search": ranked.candidate.claimed, "repeats": ranked.values}
            for ranked in report.ranking
        ]
    if report.audit:
        content["audit"] = _audit_facts(report.audit)
    if report.test:
        content |= _test_facts(report.test)
    return json.loads(json.dumps(content))  # type: ignore[no-any-return]


def _test_facts(test: HoldoutReport) -> dict[str, Any]:
    return {
        "test": {
            tested.system.name: {
                "accuracy": vars(tested.accuracy),
                "macro_f1": vars(tested.macro_f1),
                "parameters": tested.system.parameters,
                **_calibration_facts(tested.calibration),
            }
            for tested in test.tested
        },
        **_calibration_facts(test.calibration),
        "model": vars(test.exported),
        "verdict": test.verdict.sentence,
    }


def _calibration_facts(calibration: Calibration | None) -> dict[str, Any]:
    if calibration is None:
        return {}
    facts = {
        "expected_calibration_error": calibration.expected_error,
        "negative_log_likelihood": calibration.log_loss,
    }
    return {"calibration": facts}


def _confirmed_facts(confirmed: Confirmed) -> dict[str, Any]:
    return {
        "mean": confirmed.mean,
        "deviation": None if len(confirmed.trials) == 1 else confirmed.deviation,
        "optimism": confirmed.optimism,
        "draws": [
            {
                "draw": trial.user_attrs[REPEAT],
                "training_seed": trial.user_attrs.get("training_seed"),
                "value": trial.value,
            }
            for trial in confirmed.trials
        ],
    }


def _audit_facts(audit: Audit) -> dict[str, Any]:
    return {
        "pruned": audit.pruned,
        "top": audit.top,
        "into_top": audit.into_top,
        "rate": vars(audit.rate) if audit.rate else None,
        "trials": [
            {
                "trial": audited.pruned.number,
                "parameters": audited.pruned.params,
                "value_when_pruned": audited.pruned.value,
                "value": audited.finished.value,
                "rank": audited.rank,
                "is_random": audited.is_random,
                "is_repeated": audited.is_repeated,
            }
            for audited in audit.audited
        ],
    }
