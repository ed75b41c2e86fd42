"""Where the service's time goes: the difference of its own histogram of stages before and after a run."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(r'^leads_stage_seconds_(sum|count)\{(?:[^}]*,)?stage="([a-z_]+)"[^}]*\} (\S+)$', re.MULTILINE)
_WHOLE = re.compile(
    r'^leads_http_request_seconds_(sum|count)\{(?:[^}]*,)?route="/v1/score"[^}]*\} (\S+)$', re.MULTILINE
)
# From the request's first byte to the answer's last, as the service itself measures it.
WHOLE = "in the service"


class Spent(NamedTuple):
    """Seconds spent in a stage, and how often it ran."""

    seconds: float = 0.0
    calls: float = 0.0


Stages = dict[str, Spent]


def read_stages(metrics: str) -> Stages:
    """Read the stages from Prometheus's text format, in its order; empty when the service reports none.

    >>> read_stages('leads_stage_seconds_sum{stage="text"} 1.5\\nleads_stage_seconds_count{stage="text"} 3.0')
    {'text': Spent(seconds=1.5, calls=3.0)}
    """
    found: Stages = {}
    lines = _LINE.findall(metrics) + [(kind, WHOLE, value) for kind, value in _WHOLE.findall(metrics)]
    for kind, stage, value in lines:
        before = found.get(stage, Spent())
        if kind == "sum":
            found[stage] = Spent(before.seconds + float(value), before.calls)
        else:
            found[stage] = Spent(before.seconds, before.calls + float(value))
    return found


def since(before: Stages, after: Stages) -> Stages:
    """What was spent between two readings."""
    return {
        stage: Spent(spent.seconds - before.get(stage, Spent()).seconds, spent.calls - before.get(stage, Spent()).calls)
        for stage, spent in after.items()
    }


def added(a: Stages, b: Stages) -> Stages:
    """The sum of two."""
    names = dict.fromkeys((*a, *b))
    return {
        name: Spent(
            a.get(name, Spent()).seconds + b.get(name, Spent()).seconds,
            a.get(name, Spent()).calls + b.get(name, Spent()).calls,
        )
        for name in names
    }


def us_per_request(stages: Stages, requests: int) -> dict[str, float]:
    """µs per request by stage; stages that never ran are left out."""
    return {stage: spent.seconds / requests * 1e6 for stage, spent in stages.items() if spent.calls}
