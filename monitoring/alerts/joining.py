"""Joins the findings of a rule for a harm into one, where one cause moves many columns, slices and baselines at once.

A campaign of a few accounts moves dozens of inputs that count the same events, in several slices, compared with
training and with the windows before. An alert for each of them would say the same dozens of times. So a joined rule has
one alert per harm, which names what moved, the most important first. Of some rules, several harms have one together:
they read the same texts, and when the worker stops, it stops for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from leads.estimates.slices import slice_parts
from monitoring.alerts.judging import Finding, Key
from monitoring.drift.results import rank
from monitoring.summaries.summary import MISSING

# The slice of a joined finding: that of everything.
JOINED = ""
_UNKNOWN: Mapping[Key, float] = {}
# The harm whose alert is about the findings of a rule and harm.
Standing = Mapping[tuple[str, str], str]
_SEPARATE: Standing = {}


def joined(
    found: Iterable[Finding], importance: Mapping[Key, float] = _UNKNOWN, standing: Standing = _SEPARATE
) -> list[Finding]:
    """The findings, with one for each joined rule and harm.

    It fires if any of its findings does, and they matter enough; it is quiet if all are.

    Args:
        importance: of the input that a finding is about, by the finding's key, as far as it is known.
        standing: by rule and harm, the harm whose alert is about it; rules and harms that are absent have their own.
    """
    made: list[Finding] = []
    together: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for one in found:
        if not one.rule.joined:
            made.append(one)
        else:
            harm = standing.get((one.rule.name, one.harm), one.harm)
            together[one.rule.name, harm].append(one)
    return made + [_join(of_harm, harm, importance) for (_, harm), of_harm in together.items()]


def of_columns(among: Iterable[Finding]) -> list[Finding]:
    """The first finding about each column of each harm; findings that aren't about one all stay."""
    kept: dict[tuple[str, str], Finding] = {}
    for one in among:
        kept.setdefault((one.harm, slice_parts(one.slice).get("column") or f";{one.slice}"), one)
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


def _join(found: list[Finding], harm: str, importance: Mapping[Key, float]) -> Finding:
    def order(one: Finding) -> tuple[float, str, str]:
        return -rank(one.deviation, importance.get(one.key, 1.0)), one.harm, one.slice

    joins = tuple(sorted({one.harm for one in found}))
    firing = tuple(sorted((one for one in found if one.fires), key=order))
    if not firing or not _matters(found, firing, importance):
        shown = max(found, key=lambda one: one.deviation)
        quiet = all(one.quiet for one in found)
        newest = tuple(row for one in found for row in one.newest)
        return shown._replace(harm=harm, slice=JOINED, fires=False, quiet=quiet, newest=newest, joins=joins)
    since = min(one.since for one in firing)
    return firing[0]._replace(harm=harm, slice=JOINED, since=since, among=firing, joins=joins)


def _matters(found: Iterable[Finding], firing: tuple[Finding, ...], importance: Mapping[Key, float]) -> bool:
    """Whether what is beyond its thresholds is enough of all, or of what the model uses. What isn't known may be."""
    least = firing[0].rule.least_share
    moved = {_input(one): importance.get(one.key, 1.0) for one in firing}
    return len(moved) >= least * len({_input(one) for one in found}) or sum(moved.values()) >= least


def _input(one: Finding) -> str:
    return slice_parts(one.slice).get("column", "").removesuffix(MISSING)
