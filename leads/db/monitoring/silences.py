"""Silences: periods in which the alerts of a rule are recorded but not sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.alerting.alert import Alert
from leads.alerting.rules import RULES
from leads.clock import DAY, Micros
from leads.db.monitoring.tables import alert_silences
from leads.errors import InvalidInput, NotFound

EVERY = "*"
# Nobody means to silence a rule for longer: the limit would be wrong then.
MAX_LENGTH: Micros = 90 * DAY


class Silence(NamedTuple):
    """A silence.

    Args:
        seq: its id.
        rule, harm: which alerts aren't sent; `*` for all.
        until: when it ends by itself, µs.
        ended_at: when it was ended before that; None if it wasn't.
    """

    seq: int
    rule: str
    harm: str
    until: Micros
    by: str
    why: str
    created_at: Micros
    ended_at: Micros | None

    def covers(self, rule: str, harm: str) -> bool:
        """Whether an alert of this rule and harm isn't sent."""
        return self.rule in (EVERY, rule) and self.harm in (EVERY, harm)

    def active(self, now: Micros) -> bool:
        """Whether it holds at this time."""
        return self.ended_at is None and now < self.until


_COLUMNS = [alert_silences.c[name] for name in Silence._fields]


def add(connection: Connection, rule: str, harm: str, until: Micros, *, by: str, why: str, now: Micros) -> Silence:
    """Silence a rule.

    Args:
        rule: its name, or `*` for all.
        harm: a harm that exists, or `*` for all, which includes alerts about the whole platform.

    Raises:
        InvalidInput: the rule doesn't exist, or the end isn't within 90 days from now.
    """
    if rule != EVERY and rule not in RULES:
        raise InvalidInput(f"{rule!r} is not a rule.", field="/rule", remedy=f"Use * or: {', '.join(RULES)}.")
    if not now < until <= now + MAX_LENGTH:
        raise InvalidInput(
            "A silence must end in the future, and within 90 days.",
            field="/until",
            remedy="If an alert is wrong for good, change its limit or switch it off in policies.yaml.",
        )
    made = Silence(0, rule, harm, until, by, why, now, None)
    values = made._asdict()
    del values["seq"]
    key = connection.execute(sa.insert(alert_silences).values(**values)).inserted_primary_key
    assert key is not None
    return made._replace(seq=int(key[0]))


def end(connection: Connection, seq: int, now: Micros) -> Silence:
    """End a silence now. One that has ended stays as it is.

    Raises:
        NotFound: there is no such silence.
    """
    found = find(connection, seq)
    if found is None:
        raise silence_not_found()
    if not found.active(now):
        return found
    connection.execute(sa.update(alert_silences).where(alert_silences.c.seq == seq).values(ended_at=now))
    return found._replace(ended_at=now)


def find(connection: Connection, seq: int) -> Silence | None:
    """A silence by its id."""
    row = connection.execute(sa.select(*_COLUMNS).where(alert_silences.c.seq == seq)).first()
    return None if row is None else Silence(*row)


def active(connection: Connection, now: Micros) -> list[Silence]:
    """The silences that hold now, oldest first."""
    query = sa.select(*_COLUMNS).where(alert_silences.c.ended_at.is_(None), alert_silences.c.until > now)
    return [Silence(*row) for row in connection.execute(query.order_by(alert_silences.c.seq))]


def newest(connection: Connection, limit: int) -> list[Silence]:
    """The newest silences, also those that have ended, newest first."""
    query = sa.select(*_COLUMNS).order_by(alert_silences.c.seq.desc()).limit(limit)
    return [Silence(*row) for row in connection.execute(query)]


def covering(silences: Iterable[Silence], alert: Alert) -> Silence | None:
    """A silence because of which an alert isn't sent; None if it is.

    An alert about several harms is sent unless there is a silence for each of them.
    """
    known = list(silences)
    found = [next((one for one in known if one.covers(alert.rule, harm)), None) for harm in alert.harms]
    return found[0] if None not in found else None


def visible(silences: Iterable[Silence], harms: Collection[str] | None) -> list[Silence]:
    """Those that a caller who is limited to these harms may know about; None: all."""
    return [one for one in silences if harms is None or one.harm == EVERY or one.harm in harms]


def silence_not_found() -> NotFound:
    """The error for an id that no silence has."""
    return NotFound("Silence not found.", remedy="List them: leads alerts, or GET /v1/monitoring/silences.")
