"""The model card: what a reader of the registry needs to know about a version, in Markdown."""

from __future__ import annotations

from leads.policies import HarmPolicy
from models.thresholds import Thresholds
from training.behaviour.run import BehaviourReport, rows
from training.fit.model import Fit
from training.report import dataset_card, slices
from training.report.dataset_card import DatasetCard
from training.report.measure import Metrics

_CALIBRATED_P = 0.05
_METHODS = {
    "platt": "Platt's straight line",
    "beta": "beta calibration",
    "bent": "a line with a few bends",
    "isotonic": "centred isotonic regression",
}


def write_card(
    harm: str,
    policy: HarmPolicy,
    data: DatasetCard,
    metrics: Metrics,
    thresholds: Thresholds,
    fitted: Fit,
    behaved: BehaviourReport | None,
) -> str:
    """The card of one version that was trained here."""
    return write(harm, policy, data, metrics, thresholds, _how(data, fitted), behaved)


def write(
    harm: str,
    policy: HarmPolicy,
    data: DatasetCard,
    metrics: Metrics,
    thresholds: Thresholds,
    how: str,
    behaved: BehaviourReport | None,
) -> str:
    """The card of any version; `how` says in a paragraph how it works."""
    kinds = ", ".join(policy.subject_types)
    tiers = "\n".join(f"- **{tier}**: {why}" for tier, why in thresholds.why.items())
    return f"""# {policy.title} (`{harm}`)

The probability that a subject ({kinds}) violates this policy, to rank what reviewers look at first. It orders work;
it is no finding about a person, and is not fit to act without review beyond the tier `auto` below.

## How it works

{how}

{dataset_card.markdown(data).strip()}

## Measured on {metrics.test.rows:,} held-out rows, {metrics.test.positives:,} of them violating

{_measured(metrics)}

### Slices

{slices.markdown(metrics.slices).strip()}

## Behaviour

{_behaviour(behaved)}

## Tiers

{tiers}

## Limits

Decided subjects are mostly reported ones, and public corpora come from other platforms and years: how good the version
is on unreported subjects here is known only from decisions on subjects drawn at random. Texts in languages that the
labels don't hold are judged by features alone.
"""


def _how(data: DatasetCard, fitted: Fit) -> str:
    stage = "The share of violating subjects starts it"
    if fitted.text_stage:
        stage = "Word and character n-grams give log-odds"
        if fitted.text_stage.sentence:
            stage += f", together with a model on the sentence vectors of `{fitted.text_stage.sentence.encoder}`"
    method = _METHODS.get(fitted.calibrator.method, fitted.calibrator.method)
    return (
        f"{stage}; {fitted.rounds} trees correct them by the features of the contract `{data.contract_hash}`; "
        f"{method}, fitted on rows that the rest didn't see, turns the margin into a probability. Reports, notices, "
        "hash matches and strikes never lower a score."
    )


def _measured(metrics: Metrics) -> str:
    test = metrics.test
    honest = "not rejected" if test.ece_p >= _CALIBRATED_P else "rejected"
    return f"""| measure | value |
|---|---|
| average precision (95% interval) | {metrics.ap_interval.text()} |
| ROC AUC | {test.roc_auc:.3f} |
| Brier score (95% interval) | {metrics.brier_interval.text()} |
| expected calibration error, 15 bins | {test.ece:.4f} |
| perfect calibration | {honest} (p = {test.ece_p:.3f}) |"""


def _behaviour(report: BehaviourReport | None) -> str:
    if report is None:
        return "There is no behaviour suite for this harm."
    passed, checks = sum(kind.passed for kind in report.kinds), sum(kind.checks for kind in report.kinds)
    lines = [f"| {name} | {kind} | {share} | {weakest} |" for name, kind, share, _, weakest, _ in rows(report)]
    table = "\n".join(("| case | kind | passed | weakest group |", "|---|---|---|---|", *lines))
    return f"{passed} of {checks} checks of the behaviour suite pass.\n\n{table}"
