"""The work behind the routes of alerts and silences: check the key, read or change, convert the result."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal

import msgspec
from sqlalchemy.engine import Connection

from leads import clock
from leads.alerting.alert import Alert, AlertState
from leads.alerting.out import alert_out, detail_out
from leads.api import page_cursors
from leads.api.requests import instant, time_text
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.keys import ApiKey
from leads.db.monitoring import alerts, silences
from leads.db.monitoring.alerts import alert_not_found
from leads.db.monitoring.silences import EVERY, Silence, silence_not_found
from leads.db.monitoring.surroundings import with_moves
from leads.errors import AccessDenied
from leads_client.schemas.alerts import (
    AcknowledgeIn,
    AlertDetail,
    AlertFilter,
    AlertOut,
    AlertsOut,
    SilenceIn,
    SilenceOut,
    SilencesOut,
)
from serving.http.access.harms import check_harm
from serving.runtime import Runtime

_FORMAT: Final = "a1"
_SILENCES = 200
# Ids are numbers that fit into 63 bits.
_ID = re.compile(r"[0-9]{1,18}")
_OPEN: tuple[AlertState, ...] = ("firing", "acknowledged")
_STATES: Mapping[AlertFilter, tuple[AlertState, ...]] = {
    "open": _OPEN,
    "any": (),
    "firing": ("firing",),
    "acknowledged": ("acknowledged",),
    "resolved": ("resolved",),
}


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last alert of a page."""

    format: Literal["a1"]
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


def list_alerts(
    runtime: Runtime,
    key: ApiKey,
    *,
    harms: Collection[str] | None,
    state: AlertFilter,
    rule: str | None,
    limit: int,
    cursor: str | None,
) -> AlertsOut:
    """List one page of alerts. What is about the whole platform may be about any harm."""
    for harm in harms or ():
        check_harm(runtime.policies, key, harm, field="/harm")
    before = None if cursor is None else page_cursors.of_text(cursor, _Cursor).seq
    with reading(runtime.engine) as connection:
        found = alerts.listing(
            connection,
            states=_STATES[state],
            harms=key.harms if harms is None else harms,
            # A key limited to some harms must not learn of others.
            named=key.harms is None,
            rule=rule,
            before=before,
            limit=limit + 1,
        )
    shown = found[:limit]
    end = page_cursors.to_text(_Cursor(_FORMAT, shown[-1].seq)) if len(found) > limit else None
    return AlertsOut(alerts=tuple(map(alert_out, shown)), next_cursor=end)


def show_alert(runtime: Runtime, key: ApiKey, id_: str) -> AlertDetail:
    """Show an alert with its explanation."""
    with reading(runtime.engine) as connection:
        found = _alert(connection, key, id_)
        return detail_out(with_moves(connection, found, runtime.clock(), named=key.harms is None))


def acknowledge(connection: Connection, runtime: Runtime, key: ApiKey, id_: str, body: AcknowledgeIn) -> AlertOut:
    """Record that the key's reviewer, or else the key, looks after an alert."""
    found = _alert(connection, key, id_)
    by = key.reviewer or key.name
    return alert_out(alerts.acknowledge(connection, found.seq, by, runtime.clock(), note=body.note or None))


def list_silences(runtime: Runtime, key: ApiKey) -> SilencesOut:
    """List the newest silences."""
    now = runtime.clock()
    with reading(runtime.engine) as connection:
        found = silences.newest(connection, _SILENCES)
    return SilencesOut(silences=tuple(_silence_out(one, now) for one in found if _shows(key, one)))


def add_silence(connection: Connection, runtime: Runtime, key: ApiKey, body: SilenceIn) -> SilenceOut:
    """Silence a rule."""
    if body.harm is not None:
        check_harm(runtime.policies, key, body.harm, field="/harm")
    elif key.harms is not None:
        raise not_all_harms(key.harms)
    now = runtime.clock()
    made = silences.add(
        connection,
        body.rule,
        body.harm or EVERY,
        instant(body.until, 0, field="/until"),
        by=key.reviewer or key.name,
        why=body.why,
        now=now,
    )
    return _silence_out(made, now)


def end_silence(connection: Connection, runtime: Runtime, key: ApiKey, id_: str) -> SilenceOut:
    """End a silence now."""
    found = silences.find(connection, int(id_)) if _ID.fullmatch(id_) else None
    if found is None or not _shows(key, found):
        raise silence_not_found()
    now = runtime.clock()
    return _silence_out(silences.end(connection, found.seq, now), now)


def not_all_harms(harms: Collection[str]) -> AccessDenied:
    """The error for a key that is limited to some harms and would silence all of them."""
    return AccessDenied(
        "This key can't silence all harms.", field="/harm", remedy=f"Name one of: {', '.join(sorted(harms))}."
    )


def _alert(connection: Connection, key: ApiKey, id_: str) -> Alert:
    found = alerts.find(connection, int(id_)) if _ID.fullmatch(id_) else None
    # A key limited to some harms must not learn whether an alert of another harm exists.
    if found is None or (key.harms is not None and found.harm not in key.harms):
        raise alert_not_found()
    return found


def _shows(key: ApiKey, silence: Silence) -> bool:
    return key.harms is None or silence.harm in key.harms


def _silence_out(silence: Silence, now: Micros) -> SilenceOut:
    return SilenceOut(
        id=str(silence.seq),
        rule=silence.rule,
        harm=None if silence.harm == EVERY else silence.harm,
        until=clock.to_text(silence.until),
        by=silence.by,
        why=silence.why,
        created_at=clock.to_text(silence.created_at),
        ended_at=time_text(silence.ended_at),
        active=silence.active(now),
    )
