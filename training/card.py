"""The model card: what a reader of the registry needs to know about a version, in Markdown."""

from __future__ import annotations

from leads.policies import HarmPolicy
from models.thresholds import Thresholds
from training.dataset import Dataset
from training.evaluate import Evaluation


def write_card(
    harm: str, policy: HarmPolicy, dataset: Dataset, evaluation: Evaluation, thresholds: Thresholds, rounds: int
) -> str:
    """The card of one version."""
    kinds = ", ".join(policy.subject_types)
    sources = "\n".join(f"| {source} | {rows:,} |" for source, rows in dataset.sources.items())
    tiers = "\n".join(f"- **{tier}**: {why}" for tier, why in thresholds.why.items())
    stage = (
        "Word and character n-grams give log-odds; " if policy.text else "The share of violating subjects starts it; "
    )
    honest = "not rejected" if evaluation.ece_p >= 0.05 else "rejected"
    return f"""# {policy.title} (`{harm}`)

The probability that a subject ({kinds}) violates this policy, to rank what reviewers look at first. It orders work;
it is no finding about a person, and is not fit to act without review beyond the tier `auto` below.

## How it works

{stage}{rounds} trees correct them by the features of `{dataset.contract.feature_service}` (contract
`{dataset.contract.hash}`); a calibrator turns the margin into a probability. Reports, notices, hash matches and strikes
never lower a score.

## Learned from

| source | rows |
|---|---|
{sources}

{int(dataset.labels.sum()):,} of {len(dataset.rows):,} violate. Of each source the latest fifth only measures.

## Measured on {evaluation.rows:,} held-out rows, {evaluation.positives:,} of them violating

| measure | value |
|---|---|
| average precision | {evaluation.ap:.3f} |
| ROC AUC | {evaluation.roc_auc:.3f} |
| Brier score | {evaluation.brier:.4f} |
| expected calibration error, 15 bins | {evaluation.ece:.4f} |
| perfect calibration | {honest} (p = {evaluation.ece_p:.3f}) |

## Tiers

{tiers}

## Limits

Decided subjects are mostly reported ones, and public corpora come from other platforms and years: how good the version
is on unreported subjects here is known only from decisions on subjects drawn at random. Texts in languages that the
labels don't hold are judged by features alone.
"""
