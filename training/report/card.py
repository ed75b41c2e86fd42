"""The model card: what a reader of the registry needs to know about a version, in Markdown."""

from __future__ import annotations

from leads.policies import HarmPolicy
from models.text.head import OutputHead
from models.thresholds import Thresholds
from training.behaviour.run import BehaviourReport, rows
from training.fit.model import Fit
from training.report import calibration, dataset_card, slices
from training.report.dataset_card import DatasetCard
from training.report.evaluate import recall_rows
from training.report.measure import Metrics
from training.report.paired import Interval

_METHODS = {
    "platt": "Platt scaling",
    "beta": "Beta calibration",
    "bent": "A piecewise-linear calibrator",
    "isotonic": "Centred isotonic regression",
}


def write(
    policy: HarmPolicy,
    data: DatasetCard,
    metrics: Metrics,
    thresholds: Thresholds,
    provenance: str,
    behaviour: BehaviourReport | None,
) -> str:
    """The card of a version.

    Args:
        provenance: a paragraph on how the model works and where it comes from.
        behaviour: None if the harm has no behaviour suite.
    """
    tiers = "\n".join(f"- **{tier}**: {why}" for tier, why in thresholds.why.items())
    return f"""# {policy.title} (`{data.harm}`)

{purpose(policy)}

## Model

{provenance}

{dataset_card.markdown(data).strip()}

## Quality on {metrics.test.evidence.text()}

{measured_on(metrics)}

{measures(metrics)}

### Slices

{slices.markdown(metrics.slices).strip()}

## Behaviour

{_behaviour(behaviour)}

## Tiers

{tiers}

## Limitations

{dataset_card.limits(data)}
"""


def purpose(policy: HarmPolicy) -> str:
    """What a score says about a subject, and what may be done with it."""
    types = ", ".join(policy.subject_types)
    return (
        f"The score is the probability that a subject ({types}) violates this policy. It ranks subjects for review. It "
        "is not a finding about a person, and only the tier `auto` may be acted on without review."
    )


def provenance(fitted: Fit, contract_hash: str, *, about_groups: bool) -> str:
    """How a model that was trained here works, in a paragraph.

    Args:
        about_groups: whether it was also fitted on copies that name other groups, and on friendly sentences.
    """
    start = "The share of violating rows gives the initial log-odds"
    if fitted.text_stage:
        start = "A linear model on word and character n-grams gives the log-odds of the text"
        if fitted.text_stage.sentence:
            head = fitted.text_stage.sentence
            what = "the outputs, one for each harm," if isinstance(head, OutputHead) else "vectors"
            start += f", together with a model on {what} of the encoder `{head.encoder}`"
        if about_groups:
            start += (
                ". The n-gram model was also fitted on copies of texts that name groups of people, with other groups "
                "in their place, and on friendly sentences about groups"
            )
    method = _METHODS.get(fitted.calibrator.method, fitted.calibrator.method)
    return (
        f"{start}. {_trees(fitted.rounds, contract_hash)} {method}, fitted on out-of-fold margins, turns the margin "
        "into a probability."
    )


def _trees(rounds: int, contract_hash: str) -> str:
    if not rounds:
        return f"No tree on the features of contract `{contract_hash}` improved on that."
    trees, correct = ("One tree", "corrects") if rounds == 1 else (f"{rounds} trees", "correct")
    return (
        f"{trees} on the features of contract `{contract_hash}` {correct} them. More reports, notices, hash matches or "
        "strikes never lower a score."
    )


def measured_on(metrics: Metrics) -> str:
    """Which held-out rows the figures are measured on, as `Dataset.served` chooses them."""
    left_out = metrics.held_out.rows - metrics.test.evidence.rows
    if left_out:
        return f"Measured on held-out labels of this platform; {left_out:,} held-out rows of other sources don't count."
    return "Measured on the held-out rows of every source."


def measures(metrics: Metrics) -> str:
    """The figures on the held-out rows as a table, or why there are none."""
    test = metrics.test
    if test.ap is None or test.ece is None or test.chance is None:
        return f"Not measured: {test.missing}"
    measured = [("average precision", test.ap), ("ROC AUC", test.roc_auc), ("Brier score", test.brier)]
    measured.append(("expected calibration error, 15 bins", test.ece))
    for tier in test.tiers:
        rows_in_tier = f"{tier.rows:,} rows ({tier.distinct:,} distinct)"
        measured.append((f"precision of tier {tier.tier}, {rows_in_tier}", tier.precision))
        measured.append((f"recall of tier {tier.tier}, {recall_rows(test.evidence)}", tier.recall))
    lines = [f"| {name} | {_text(found)} |" for name, found in measured]
    verdict = f"{calibration.verdict(test.ece.found, test.chance)} ECE {test.chance.text()}."
    return "\n".join(("| measure | value (95% interval) |", "|---|---|", *lines, f"| calibration | {verdict} |"))


def _text(found: Interval | None) -> str:
    return "–" if found is None else found.text()


def _behaviour(report: BehaviourReport | None) -> str:
    if report is None:
        return "This harm has no behaviour suite."
    passed, checks = sum(kind.passed for kind in report.kinds), sum(kind.checks for kind in report.kinds)
    lines = [f"| {name} | {kind} | {share} | {weakest} |" for name, kind, share, _, weakest, _ in rows(report)]
    table = "\n".join(("| case | kind | passed | weakest group |", "|---|---|---|---|", *lines))
    return f"{passed} of {checks} checks of the behaviour suite pass.\n\n{table}"
