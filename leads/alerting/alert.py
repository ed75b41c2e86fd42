"""What an alert is, and the explanation that comes with it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from leads.alerting.rules import Severity
from leads.clock import Micros

AlertState = Literal["firing", "acknowledged", "resolved"]
RetrainingState = Literal["waiting", "running", "done", "failed", "skipped"]


class Happened(msgspec.Struct, frozen=True):
    """Something else that happened around the time of an alert."""

    at: Micros
    what: str


class OtherSlice(msgspec.Struct, frozen=True):
    """A slice in which the same rule is broken, and how far the bound that counts is beyond the limit."""

    slice: str
    value: float | None
    deviation: float


class Affected(msgspec.Struct, frozen=True):
    """The leads that may be wrong.

    Args:
        open: leads that were opened since the alert's `since` and are still open.
        decided: reviews since then that ended with a verdict.
        query: the path that lists the open ones.
    """

    open: int
    decided: int
    query: str


class Retraining(msgspec.Struct, frozen=True):
    """A retraining that the alert started, and its `result` as a sentence."""

    state: RetrainingState
    at: Micros
    result: str = ""


class Detail(msgspec.Struct, frozen=True):
    """Explains an alert.

    Args:
        title: what happened.
        moved: the measured value and its limit, as a sentence.
        metric, method, n: the metric, how it was measured, and how many rows, events or decisions are behind it.
        window_since, window_until: the newest window in which the rule was broken.
        before: the newest value from before that was within the limit; None if there is none.
        importance: share of the model's gain that the input has; 1 for what isn't an input.
        slices: other slices in which the rule is broken, the worst first. Of a rule with one alert per harm: everything
            that is beyond its limit, the most important first.
        also: what else happened around that time, newest first.
        todo: what to do first.
        page: the runbook page.
        baselines: what values that are beyond their limits are compared with, if they are compared.
        harms: other harms that it is about as well, because they are judged of the same items.
    """

    title: str
    moved: str
    metric: str
    method: str
    n: int
    window_since: Micros
    window_until: Micros
    todo: str
    page: str
    before: float | None = None
    importance: float = 1.0
    slices: tuple[OtherSlice, ...] = ()
    also: tuple[Happened, ...] = ()
    affected: Affected | None = None
    retraining: Retraining | None = None
    baselines: tuple[str, ...] = ()
    harms: tuple[str, ...] = ()

    def packed(self) -> dict[str, Any]:
        """As it is stored."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made


class Alert(NamedTuple):
    """An alert. Times are µs.

    Args:
        seq: its id.
        harm: empty for the whole platform.
        slice: as in `metric_rows`; empty for everything.
        since: the start of the first window in which the rule was broken.
        opened_at, seen_at: when it was first and last found broken.
        sent_at, sent_worst: when a message about it was last sent, and `worst` at that time; None: not yet.
        value, lo, hi: the newest measured value.
        limit: of the rule, with the policy's changes.
        worst: the largest deviation so far: how far the bound that counts was beyond the limit.
        note: why it was resolved, if not because values returned; or what the person wrote who acknowledged it.
    """

    seq: int
    rule: str
    harm: str
    slice: str
    version: str
    severity: Severity
    state: AlertState
    since: Micros
    opened_at: Micros
    seen_at: Micros
    resolved_at: Micros | None
    sent_at: Micros | None
    sent_worst: float | None
    value: float | None
    lo: float | None
    hi: float | None
    limit: float
    worst: float | None
    detail: Detail
    acknowledged_by: str | None
    acknowledged_at: Micros | None
    note: str | None

    def is_about(self, harm: str) -> bool:
        """Whether it is about this harm, or about the whole platform."""
        return self.harm in ("", harm) or harm in self.detail.harms


def unpacked(stored: object) -> Detail:
    """A stored explanation. One that another release wrote may lack parts."""
    try:
        return msgspec.convert(stored, Detail)
    except msgspec.ValidationError:
        return Detail("", "", "", "", 0, 0, 0, "", "")
