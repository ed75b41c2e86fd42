"""What else happened around an alert, and which leads it concerns. It proves nothing, but most causes are among it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from sqlalchemy.engine import Connection

from leads import clock
from leads.alerting.alert import Affected, Alert, Happened
from leads.clock import Micros
from leads.db import model_changes
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring import surroundings
from leads.db.monitoring.rows import MetricRow
from leads.estimates.slices import slice_parts

POLICY_CHANGED = "policy.changed"
# How far back from the alert's `since` causes are looked for.
BEFORE: Micros = 6 * clock.HOUR
MAX_SHOWN = 8
_VOLUMES = ("events.volume", "predictions.volume")
_SURGE = 2.0
# Smaller volumes vary by chance.
_MIN_VOLUME = 50.0
_SURGES_SHOWN = 3
_MOVES = {
    "registered": "version {version} was registered",
    "promoted": "version {version} became champion",
    "challenging": "version {version} became challenger",
    "rolled_back": "version {version} became champion again (rolled back)",
    "retired": "version {version} was retired",
    "canary": "version {version} became canary",
    "canary_stopped": "the canary, version {version}, was stopped",
}


def happened(connection: Connection, harm: str, since: Micros, now: Micros, others: Iterable[Alert]) -> list[Happened]:
    """What else happened from some hours before `since` to now, newest first.

    Args:
        others: alerts about something else.
    """
    start = since - BEFORE
    found = [
        *_model_changes(connection, harm, start, now),
        *_policy_changes(connection, start, now),
        *_generations(connection, start, now),
        *_surges(connection, harm, start, now),
        *(
            Happened(other.since, other.detail.title)
            for other in others
            if other.is_about(harm) and start <= other.since <= now and other.detail.title
        ),
    ]
    return sorted(found, key=lambda one: -one.at)[:MAX_SHOWN]


def affected(connection: Connection, harm: str, slice_: str, since: Micros) -> Affected:
    """The leads that may be wrong because of an alert."""
    type_id = slice_parts(slice_).get("type")
    counts = surroundings.count_since(connection, harm, since, type_id=type_id)
    named = [(name, value) for name, value in (("harm", harm), ("typeId", type_id)) if value]
    return Affected(counts.open, counts.decided, f"/v1/leads?{urlencode([*named, ('state', 'open')])}")


def record_policy(connection: Connection, run: str, digest: str, now: Micros) -> None:
    """Record that the policies are others than in the last run, unless they are the same."""
    last = metric_rows.read(connection, names=(POLICY_CHANGED,), limit=1)
    if last and last[0].method == digest:
        return
    value = 1.0 if last else 0.0
    metric_rows.write(connection, run, [MetricRow("", "", "", now, now, POLICY_CHANGED, value, None, None, 0, digest)])


def _model_changes(connection: Connection, harm: str, start: Micros, now: Micros) -> list[Happened]:
    if not harm:
        return []
    found = [
        Happened(change.at, _sentence(f"{_MOVES[change.action].format(version=change.version)} ({change.actor})"))
        for change in model_changes.history(connection, harm)
        if change.state == "done" and start <= change.at <= now
    ]
    for retreat in surroundings.retreats(connection, harm, start, now):
        what = f"the canary, version {retreat.version}, retreated: {retreat.why}"
        found.append(Happened(retreat.at, _sentence(what)))
    return found


def _policy_changes(connection: Connection, start: Micros, now: Micros) -> list[Happened]:
    rows = metric_rows.read(connection, names=(POLICY_CHANGED,), since=start, until=now)
    return [Happened(row.until, "The policies were changed.") for row in rows if row.value]


def _generations(connection: Connection, start: Micros, now: Micros) -> list[Happened]:
    return [
        Happened(one.at, f"Generation {one.number} of the features {'went online' if one.live else 'was retired'}.")
        for one in surroundings.generation_moves(connection, start, now)
    ]


def _surges(connection: Connection, harm: str, start: Micros, now: Micros) -> list[Happened]:
    """The windows with at least twice as many events or predictions as a day before, and as a week before if known."""
    found: dict[tuple[str, str], tuple[float, Happened]] = {}
    for name in _VOLUMES:
        of = harm if name == "predictions.volume" else ""
        rows = metric_rows.read(connection, names=(name,), harm=of, since=start - 7 * clock.DAY, until=now)
        known = {(row.slice, row.until - row.since, row.until): row.value for row in rows}
        for row in rows:
            if row.until <= start or (row.value or 0.0) < _MIN_VOLUME:
                continue
            length = row.until - row.since
            earlier = [known.get((row.slice, length, row.until - days * clock.DAY)) for days in (1, 7)]
            usual = max((value for value in earlier if value is not None), default=0.0)
            if usual <= 0 or (ratio := (row.value or 0.0) / usual) < _SURGE:
                continue
            held = found.get((name, row.slice))
            if held is None or ratio > held[0]:
                found[name, row.slice] = ratio, Happened(row.since, _surge(row, ratio))
    return [one for _, one in sorted(found.values(), key=lambda x: -x[0])[:_SURGES_SHOWN]]


def _surge(row: MetricRow, ratio: float) -> str:
    what = "events" if row.name == "events.volume" else "predictions"
    of = f" ({row.slice})" if row.slice else ""
    hours = (row.until - row.since) // clock.HOUR
    return f"{row.value or 0.0:,.0f} {what}{of} in {hours} h, {ratio:.1f} times as many as usual."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
