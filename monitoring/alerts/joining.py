"""Joins the findings of a rule for a harm into one, where one cause moves many columns, slices and baselines at once.

A campaign of a few accounts moves dozens of inputs that count the same events, in several slices, compared with
training and with the windows before. An alert for each of them would say the same dozens of times. So a joined rule has
one alert per harm, which names what moved, the most important first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from leads.alerting.out import slice_parts
from monitoring.alerts.judging import Finding, Key
from monitoring.drift.results import rank
from monitoring.summaries.summary import MISSING

# The slice of a joined finding: that of everything.
JOINED = ""
_NOTHING: Mapping[Key, float] = {}


def joined(found: Iterable[Finding], importance: Mapping[Key, float] = _NOTHING) -> list[Finding]:
    """The findings, with one for each joined rule and harm.

    It fires if any of its findings does, and is quiet if all are.

    Args:
        importance: of the input that a finding is about, by the finding's key; 1 where it isn't known.
    """
    made: list[Finding] = []
    together: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for one in found:
        if one.rule.joined:
            together[one.rule.name, one.harm].append(one)
        else:
            made.append(one)
    return made + [_join(of_harm, importance) for of_harm in together.values()]


def of_columns(among: Iterable[Finding]) -> list[Finding]:
    """The first finding about each column; findings that aren't about one all stay."""
    kept: dict[str, Finding] = {}
    for one in among:
        kept.setdefault(slice_parts(one.slice).get("column") or f";{one.slice}", one)
    return list(kept.values())


def baselines(slices: Iterable[str]) -> tuple[str, ...]:
    """What the values of these slices are compared with.

    >>> baselines(["against=reference;column=a", "against=before", "against=reference", "tier=auto"])
    ('reference', 'before')
    """
    return tuple(dict.fromkeys(against for one in slices if (against := slice_parts(one).get("against"))))


def importance_of(slice_: str, by_name: Mapping[str, float]) -> float:
    """How much the input that a slice names matters to the model; 1 for what isn't an input.

    >>> importance_of("against=before;column=a is missing", {"a": 0.2}), importance_of("column=length", {"a": 0.2})
    (0.2, 1.0)
    """
    column = slice_parts(slice_).get("column", "")
    return by_name.get(column, by_name.get(column.removesuffix(MISSING), 1.0))


def _join(found: list[Finding], importance: Mapping[Key, float]) -> Finding:
    def order(one: Finding) -> tuple[float, str]:
        return -rank(one.deviation, importance.get(one.key, 1.0)), one.slice

    firing = tuple(sorted((one for one in found if one.fires), key=order))
    if not firing:
        shown = max(found, key=lambda one: one.deviation)
        return shown._replace(slice=JOINED, quiet=all(one.quiet for one in found))
    return firing[0]._replace(slice=JOINED, since=min(one.since for one in firing), among=firing)
