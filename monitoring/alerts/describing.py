"""The texts of an alert: its title, and how far a value moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from leads.alerting.alert import Detail, OtherSlice, Retraining
from leads.alerting.rules import Rule
from leads.db.monitoring.rows import MetricRow
from leads.estimates.slices import slice_of, slice_parts
from leads.messages.wording import short_number
from monitoring.alerts.joining import baselines, of_columns
from monitoring.alerts.judging import Finding, thresholds_of
from monitoring.watch.values import finite

SLICES_SHOWN = 10
# Columns, and harms, that the title of a joined rule names.
NAMES_SHOWN = 3
_AGAINST = {"reference": "with training", "before": "with the windows before"}


def title_of(rule: Rule, harm: str, slice_: str, among: Sequence[str] = ()) -> str:
    """What happened, for people.

    Args:
        harm: of an alert about several harms, all their names.
        among: of a joined rule, the slices in which it is broken, the most important first.

    >>> from leads.alerting.rules import RULES
    >>> title_of(RULES["inputs_missing"], "spam", "column=account.plays_24h")
    'An input of spam is missing more often than in training: account.plays_24h'
    >>> title_of(RULES["feed_stopped"], "", "kind=play;source=mobile")
    'Hardly any events arrive: kind play, source mobile'
    >>> title_of(RULES["input_drift"], "spam", "", [f"against=before;column=account.{name}" for name in "abcde"])
    'Inputs of spam have moved: account.a, account.b, account.c and 2 more (compared with the windows before)'
    >>> title_of(RULES["score_drift"], "spam", "", ["against=reference;language=de", "against=before;language=de"])
    'The scores of spam have moved (language de, compared with training and with the windows before)'
    >>> title_of(RULES["feed_stopped"], "", "", [f"kind={kind};source=mobile" for kind in ("play", "post")])
    'Hardly any events arrive: source mobile'
    >>> title_of(RULES["feed_stopped"], "", "", ["kind=play;source=mobile", "kind=post;source=web"])
    'Hardly any events arrive: kind play, source mobile; kind post, source web'
    """
    parts = _together(among) if among else slice_parts(slice_)
    named = _words(parts) or ("" if "" in among else _listed(among))
    text = rule.what.format(harm=harm or "the platform", slice=named or "all", column=parts.get("column", "all inputs"))
    used = set(parts) if "{slice}" in rule.what else {"column"} if "{column}" in rule.what else set()
    rest = [f"{name} {value}" for name, value in parts.items() if name not in {*used, "against"}]
    compared = [_AGAINST[one] for one in parts.get("against", "").split() if one in _AGAINST]
    if compared and "against" not in used:
        rest.append(f"compared {' and '.join(compared)}")
    return f"{text} ({', '.join(rest)})" if rest else text


def _together(slices: Sequence[str]) -> dict[str, str]:
    """The parts of several slices as those of one: all columns and baselines, and what else all slices have alike."""
    every = [slice_parts(one) for one in slices]
    columns = list(dict.fromkeys(parts["column"] for parts in every if "column" in parts))
    alike = dict(set.intersection(*(set(parts.items()) for parts in every)))
    found = {name: alike[name] for name in sorted(alike) if name not in ("against", "column")}
    if columns:
        found["column"] = _named(columns)
    if compared := baselines(slices):
        found["against"] = " ".join(compared)
    return found


def _words(parts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def _listed(slices: Sequence[str]) -> str:
    """The first slices, and how many more there are."""
    shown, more = [_words(slice_parts(one)) for one in slices[:NAMES_SHOWN]], len(slices) - NAMES_SHOWN
    return "; ".join([*shown, f"{more:,} more"] if more > 0 else shown)


def _named(names: Sequence[str]) -> str:
    """The first names, and how many more there are.

    >>> _named(["a"]), _named(["a", "b", "c", "d"]), _named(["a", "b", "c", "d", "e"])
    ('a', 'a, b, c and d', 'a, b, c and 2 more')
    """
    more = len(names) - NAMES_SHOWN
    # A name takes no more room than that there is one more.
    shown = [*names[:NAMES_SHOWN], f"{more:,} more"] if more > 1 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def moved(rule: Rule, row: MetricRow, before: float | None, *, among_harms: bool = False) -> str:
    """The measured value, its bounds and its limit, as a sentence. Of a joined rule, it says of which column it is.

    Args:
        among_harms: the alert is about several harms, so the sentence says of which one the value is.
    """
    value = finite(row.value)
    column = slice_parts(row.slice).get("column") if rule.joined else None
    what = f"{rule.metric} of {column}" if column else rule.metric
    what += f" for {row.harm}" if among_harms else ""
    shown = "unknown" if value is None else short_number(value)
    was = "" if before is None else f" It was {short_number(before)} before."
    if rule.clear is None and rule.limit == 0 and row.lo is not None and value is not None:
        return f"{what} is {shown}, above its threshold of {short_number(value - row.lo)}.{was}"
    bound = row.lo if rule.direction == "above" else row.hi
    least = "" if bound is None else f" (at {'least' if rule.direction == 'above' else 'most'} {short_number(bound)})"
    return f"{what} is {shown}{least}; the limit is {short_number(rule.limit)}.{was}"


def detail_of(
    finding: Finding, others: Iterable[Finding], *, importance: float = 1.0, retraining: Retraining | None = None
) -> Detail:
    """The explanation of an alert, without what surrounds it.

    Args:
        others: findings of the same rule and harm.
    """
    rule, row = finding.rule, finding.row
    if finding.among:
        worst = of_columns(finding.among)
    else:
        worst = sorted((one for one in others if one.fires and one.slice != finding.slice), key=lambda x: -x.deviation)
    among = [one.slice for one in finding.among]
    # A harm under which the alert stands, but for which nothing has moved, isn't named.
    harms, several = finding.harms, set(finding.harms) != {finding.harm}
    return Detail(
        title=title_of(rule, _named(harms), finding.slice, among),
        moved=moved(rule, row, finite(finding.before), among_harms=several),
        metric=rule.metric,
        method=row.method,
        n=row.n,
        window_since=row.since,
        window_until=row.until,
        todo=rule.todo.format(harm=finding.harm or "HARM"),
        page=rule.page,
        before=finite(finding.before),
        importance=importance,
        slices=_slices(worst[:SLICES_SHOWN], among_harms=several),
        retraining=retraining,
        baselines=baselines(among),
        harms=tuple(harm for harm in harms if harm != finding.harm),
        thresholds=thresholds_of(finding),
    )


def _slices(worst: Sequence[Finding], *, among_harms: bool) -> tuple[OtherSlice, ...]:
    """The slices of findings. Where there are several harms, each says whose it is."""
    return tuple(
        OtherSlice(
            slice_of(**slice_parts(one.slice), harm=one.harm) if among_harms else one.slice,
            finite(one.row.value),
            finite(one.deviation) or 0.0,
        )
        for one in worst
    )
