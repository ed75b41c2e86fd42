"""The texts of an alert: its title, and how far a value moved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from leads.alerting.alert import Detail, OtherSlice, Retraining
from leads.alerting.rules import Rule
from leads.db.monitoring.rows import MetricRow
from leads.estimates.slices import slice_parts
from leads.messages.wording import short_number
from monitoring.alerts.judging import Finding
from monitoring.watch.values import finite

SLICES_SHOWN = 10
_AGAINST = {"reference": "compared with training", "before": "compared with the windows before"}


def title_of(rule: Rule, harm: str, slice_: str) -> str:
    """What happened, for people.

    >>> from leads.alerting.rules import RULES
    >>> title_of(RULES["input_drift"], "spam", "against=before;column=account.plays_24h;type=comment")
    'An input of spam has moved: account.plays_24h (type comment, compared with the windows before)'
    >>> title_of(RULES["feed_stopped"], "", "kind=play;source=mobile")
    'Hardly any events arrive: kind play, source mobile'
    """
    parts = slice_parts(slice_)
    named = ", ".join(f"{name} {value}" for name, value in parts.items())
    text = rule.what.format(harm=harm or "the platform", slice=named or "all", column=parts.get("column", "all inputs"))
    used = set(parts) if "{slice}" in rule.what else {"column"} if "{column}" in rule.what else set()
    rest = [f"{name} {value}" for name, value in parts.items() if name not in {*used, "against"}]
    if parts.get("against") in _AGAINST and "against" not in used:
        rest.append(_AGAINST[parts["against"]])
    return f"{text} ({', '.join(rest)})" if rest else text


def moved(rule: Rule, row: MetricRow, before: float | None) -> str:
    """The measured value, its bounds and its limit, as a sentence."""
    value = finite(row.value)
    shown = "unknown" if value is None else short_number(value)
    was = "" if before is None else f" It was {short_number(before)} before."
    if rule.clear is None and rule.limit == 0 and row.lo is not None and value is not None:
        return f"{rule.metric} is {shown}, above its threshold of {short_number(value - row.lo)}.{was}"
    bound = row.lo if rule.direction == "above" else row.hi
    least = "" if bound is None else f" (at {'least' if rule.direction == 'above' else 'most'} {short_number(bound)})"
    return f"{rule.metric} is {shown}{least}; the limit is {short_number(rule.limit)}.{was}"


def detail_of(
    finding: Finding, others: Iterable[Finding], *, importance: float = 1.0, retraining: Retraining | None = None
) -> Detail:
    """The explanation of an alert, without what surrounds it.

    Args:
        others: findings of the same rule and harm.
    """
    rule, row = finding.rule, finding.row
    worst = sorted((one for one in others if one.fires and one.slice != finding.slice), key=lambda x: -x.deviation)
    return Detail(
        title=title_of(rule, finding.harm, finding.slice),
        moved=moved(rule, row, finite(finding.before)),
        metric=rule.metric,
        method=row.method,
        n=row.n,
        window_since=row.since,
        window_until=row.until,
        todo=rule.todo.format(harm=finding.harm or "HARM"),
        page=rule.page,
        before=finite(finding.before),
        importance=importance,
        slices=_slices(worst[:SLICES_SHOWN]),
        retraining=retraining,
    )


def _slices(worst: Sequence[Finding]) -> tuple[OtherSlice, ...]:
    return tuple(OtherSlice(one.slice, finite(one.row.value), finite(one.deviation) or 0.0) for one in worst)
