"""The rules that raise alerts. Each judges one metric; documentation and Prometheus rules come from this list.

Pages are about harm that is happening: something broke, or scores can't be trusted. Drift alone goes into the daily
digest: inputs change for many reasons, most of them good.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["page", "digest"]
# Which bound is beyond the limit: the rule is broken if even the bound nearest to the limit is.
Direction = Literal["above", "below"]


class Rule(NamedTuple):
    """A rule.

    Args:
        metric: the `name` of the metric rows that it judges.
        direction: `above`: broken if `lo` (without an interval: the value) is above the limit; `below`: if `hi` is
            below it.
        limit: in the unit of the metric.
        broken_windows, of_windows: it fires when at least so many of the newest windows are broken.
        clear: the limit within which the value itself must return before the alert resolves; between the two it stays.
            None, where values have thresholds of their own: it resolves when none of the newest three windows is
            broken.
        what: what happened, as the alert's title; `{harm}`, `{slice}` and `{column}` are filled in.
        todo: what to do first.
        page: the runbook page, docs/runbook/<page>.md.
        joined: a harm, or the platform, has one alert of the rule, whatever the column, slice and baseline: one cause
            moves many of them.
        least_share: of a joined rule, it fires only if the columns that are beyond their thresholds are at least this
            share of all, or have this share of the model's gain.
        of_items: of a joined rule, it is about the items alone: harms that are judged of the same types have one alert.
        of_all: of a joined rule, all harms have one alert: what stops one of them usually stops the others.
    """

    name: str
    metric: str
    severity: Severity
    direction: Direction
    limit: float
    clear: float | None
    what: str
    todo: str
    page: str
    broken_windows: int = 1
    of_windows: int = 1
    joined: bool = False
    least_share: float = 0.0
    of_items: bool = False
    of_all: bool = False


_ALL: tuple[Rule, ...] = (
    Rule(
        "miscalibrated",
        "performance.calibration",
        "page",
        "above",
        limit=4.6,
        clear=2.3,
        what="The scores of {harm} are miscalibrated",
        todo="Look at which slices are off, then retrain: leads retrain {harm}.",
        page="miscalibrated",
    ),
    Rule(
        "precision_low",
        "performance.precision_deficit",
        "page",
        "above",
        limit=0.1,
        clear=0.0,
        what="Too many leads of {harm} that were reviewed don't violate",
        todo="Read some of the wrong leads, then raise the threshold or retrain: leads retrain {harm}.",
        page="precision-low",
    ),
    Rule(
        "promise_gap",
        "performance.gap",
        "digest",
        "above",
        limit=0.1,
        clear=0.05,
        what="The scores of {harm} promise another precision than reviewers find",
        todo="Compare the slices; a new tactic changes what a score means before the inputs move.",
        page="promise-gap",
        joined=True,
    ),
    Rule(
        "inputs_missing",
        "inputs.missing",
        "page",
        "above",
        limit=0.2,
        clear=0.1,
        what="An input of {harm} is missing more often than in training: {column}",
        todo="Check the feed behind this feature, and the online store: leads status.",
        page="inputs-missing",
    ),
    Rule(
        "inputs_stuck",
        "inputs.stuck",
        "page",
        "above",
        limit=0.5,
        clear=0.5,
        what="An input of {harm} has the same value for everyone: {column}",
        todo="Check the feed behind this feature.",
        page="inputs-missing",
    ),
    Rule(
        "skew",
        "skew.share",
        "page",
        "above",
        limit=0.001,
        clear=0.0,
        what="Served features of {harm} differ from what training sees",
        todo="leads skew {harm} names the columns.",
        page="skew",
    ),
    Rule(
        "feed_stopped",
        "events.missing",
        "page",
        "above",
        limit=0.9,
        clear=0.5,
        what="Hardly any events arrive: {slice}",
        todo="Ask the owner of this source; look at its last requests in the access log.",
        page="feed-stopped",
        joined=True,
    ),
    Rule(
        "clock_off",
        "events.clock_shift_h",
        "page",
        "above",
        limit=6.0,
        clear=1.0,
        what="The times that a source sends are off by hours: {slice}",
        todo="Ask its owner to correct the clock or the time zone; events count as having happened when they say.",
        page="clock-off",
    ),
    Rule(
        "report_brigade",
        "reports.concentration",
        "page",
        "above",
        limit=0.5,
        clear=0.25,
        what="Many people report few subjects at once",
        todo="Review the reported subjects before their reports raise more leads.",
        page="report-brigade",
    ),
    Rule(
        "predictions_stopped",
        "predictions.missing",
        "page",
        "above",
        limit=0.9,
        clear=0.5,
        what="Hardly anything is scored for {harm}",
        todo="leads status shows whether a worker runs and how far behind it is.",
        page="predictions-stopped",
        joined=True,
        of_all=True,
    ),
    Rule(
        "stale_features",
        "predictions.lag_s",
        "page",
        "above",
        limit=300.0,
        clear=30.0,
        what="Events are scored late: the worker is behind",
        todo="leads status shows how far; leads worker's log says what it does.",
        page="stale-features",
    ),
    Rule(
        "queue_old",
        "queue.oldest_h",
        "page",
        "above",
        limit=24.0,
        clear=20.0,
        what="The oldest open lead of {harm} has waited too long",
        todo="Review it, or withdraw leads below a higher threshold.",
        page="queue-old",
    ),
    Rule(
        "flagged_surge",
        "drift.flagged",
        "digest",
        "above",
        limit=0.0,
        clear=None,
        what="Another share of subjects is flagged for {harm} than usual",
        todo="Look at the newest leads: a wave, or a broken input?",
        page="flagged-surge",
        joined=True,
    ),
    Rule(
        "score_drift",
        "drift.score",
        "digest",
        "above",
        limit=0.0,
        clear=None,
        what="The scores of {harm} have moved",
        todo="leads drift {harm} --explain ranks what changed.",
        page="drift",
        broken_windows=2,
        of_windows=3,
        joined=True,
    ),
    Rule(
        "input_drift",
        "drift.input",
        "digest",
        "above",
        limit=0.0,
        clear=None,
        what="Inputs of {harm} have moved: {column}",
        todo="leads drift {harm} --explain ranks what changed.",
        page="drift",
        broken_windows=2,
        of_windows=3,
        joined=True,
        least_share=0.1,
    ),
    Rule(
        "text_drift",
        "drift.text",
        "digest",
        "above",
        limit=0.0,
        clear=None,
        what="The texts of {harm} have changed: {column}",
        todo="Read some of the newest texts; label them if the topic is new: leads labels add.",
        page="text-drift",
        broken_windows=2,
        of_windows=3,
        joined=True,
        of_items=True,
    ),
    Rule(
        "new_values",
        "inputs.new_values",
        "digest",
        "above",
        limit=0.02,
        clear=0.005,
        what="A field of items has values that training never saw: {column}",
        todo="Was a category renamed? Tell the sender, or retrain: leads retrain {harm}.",
        page="new-values",
    ),
    Rule(
        "verdicts_changed",
        "drift.verdicts",
        "digest",
        "above",
        limit=0.0,
        clear=None,
        what="Reviewers of {harm} decide otherwise than before at equal scores",
        todo="Was the policy changed? If so, retrain with labels from after the change.",
        page="verdicts-changed",
        broken_windows=2,
        of_windows=3,
    ),
    Rule(
        "challenger_decided",
        "challenger.gain",
        "digest",
        "above",
        limit=0.0,
        clear=None,
        what="The challenger of {harm} is better than the champion",
        todo="leads models list shows its figures; then: leads models promote {harm} VERSION.",
        page="challenger-decided",
    ),
)
RULES: dict[str, Rule] = {rule.name: rule for rule in _ALL}
