"""What was decided in a span of time, and which prediction each decision was about.

Only leads that someone looked at have labels, so figures from these say how good the reviewed part of the queue was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.content import content_hash
from leads.db.items import current_items
from leads.db.scans.times import offset_before
from leads.db.tables import NOT_A_PLAY, events, leads, reviews
from leads.events import LoggedEvent, Subject, decision_of, decode_event
from leads.rules import standing_decision

_CHUNK = 500
_NO_TEXT = content_hash(None)
# Looks whose outcome says nothing about how good predictions are: their subjects weren't chosen by a score.
_NOT_OF_QUEUE = ("second", "golden", "appeal")


class Verdict(NamedTuple):
    """The verdict that stands on a (subject, harm) and content, with the prediction that a reviewer was shown.

    Args:
        at: when it was first decided, µs.
        account: the account behind the subject; the subject itself if none is known.
        content: hash of the content that was judged; equal texts have equal ones. Empty without a text.
        stated: whether the prediction is known to be the one that was shown; otherwise it is the one that the lead had
            when it was decided elsewhere, such as in an ingested file.
    """

    at: Micros
    subject: Subject
    violating: bool
    score: float
    tier: str
    version: str
    account: str
    content: str
    stated: bool


class Pair(NamedTuple):
    """Two verdicts on the same content.

    Args:
        purpose: of the later look: `second`, `golden`, `appeal` or `ranked`; `automation` if one was automation's.
    """

    at: Micros
    purpose: str
    same: bool


class Decided(NamedTuple):
    """What was decided under one harm, oldest first."""

    verdicts: tuple[Verdict, ...] = ()
    pairs: tuple[Pair, ...] = ()


class _Shown(NamedTuple):
    """A prediction; `purpose` of the look, None where there was none."""

    score: float | None
    tier: str | None
    version: str | None
    purpose: str | None


_Key = tuple[str, Subject, str]


def read(connection: Connection, since: Micros, until: Micros) -> dict[str, Decided]:
    """The decisions with since ≤ visible_at < until (µs), by harm."""
    about: dict[_Key, list[LoggedEvent]] = {}
    for logged in _decisions(connection, since, until):
        body = decision_of(logged)
        content = body.content.hash if body.content and body.content.hash != _NO_TEXT else ""
        about.setdefault((body.harm, body.subject.subject, content), []).append(logged)
    shown = _shown(connection, [logged for found in about.values() for logged in found])
    accounts = _accounts(connection, {subject for _, subject, _ in about})
    verdicts: dict[str, list[Verdict]] = {}
    pairs: dict[str, list[Pair]] = {}
    for (harm, subject, content), found in about.items():
        if verdict := _verdict(subject, content, found, shown, accounts):
            verdicts.setdefault(harm, []).append(verdict)
        pairs.setdefault(harm, []).extend(_pairs(found, shown))
    return {harm: Decided(tuple(sorted(verdicts.get(harm, ()))), tuple(sorted(pairs[harm]))) for harm in sorted(pairs)}


def _verdict(
    subject: Subject,
    content: str,
    found: Sequence[LoggedEvent],
    shown: Mapping[int, _Shown],
    accounts: Mapping[Subject, str],
) -> Verdict | None:
    first, standing = found[0], standing_decision(found)
    prediction = shown.get(first.offset)
    if standing is None or prediction is None or prediction.purpose in _NOT_OF_QUEUE:
        return None
    if prediction.score is None or prediction.tier is None or prediction.version is None:
        return None
    return Verdict(
        first.visible_at,
        subject,
        decision_of(standing).verdict == "violating",
        prediction.score,
        prediction.tier,
        prediction.version,
        accounts.get(subject, subject.key),
        content,
        prediction.purpose is not None,
    )


def _pairs(found: Sequence[LoggedEvent], shown: Mapping[int, _Shown]) -> Iterator[Pair]:
    """Each later verdict with the first one, if somebody else passed it."""
    passed = [logged for logged in found if decision_of(logged).verdict != "escalate"]
    for logged in passed[1:]:
        first, later = decision_of(passed[0]), decision_of(logged)
        if (first.by, first.reviewer) == (later.by, later.reviewer):
            continue
        automation = "automation" in (first.by, later.by)
        look = shown.get(logged.offset)
        purpose = "automation" if automation else (look.purpose if look else None) or "ranked"
        yield Pair(logged.visible_at, purpose, first.verdict == later.verdict)


def _decisions(connection: Connection, since: Micros, until: Micros) -> Iterator[LoggedEvent]:
    after, up_to = offset_before(connection, since), offset_before(connection, until)
    query = (
        sa.select(events.c.offset, events.c.visible_at, events.c.raw)
        .where(events.c.kind == "decision_made", NOT_A_PLAY, events.c.offset > after, events.c.offset <= up_to)
        .order_by(events.c.offset)
    )
    for offset, at, raw in connection.execute(query):
        yield LoggedEvent(offset, at, decode_event(raw))


def _shown(connection: Connection, decided: Sequence[LoggedEvent]) -> dict[int, _Shown]:
    """The prediction behind each decision, by the decision's offset: that of its review, else that of its lead."""
    looks = _looks(connection, [id_ for logged in decided if (id_ := decision_of(logged).review_id) is not None])
    found: dict[int, _Shown] = {}
    left: list[LoggedEvent] = []
    for logged in decided:
        look = looks.get(decision_of(logged).review_id or "")
        if look is not None:
            found[logged.offset] = _Shown(look.score, look.tier, look.model_version, look.purpose)
        if look is None or look.score is None:
            left.append(logged)
    stored = _leads(connection, left)
    for logged in left:
        body = decision_of(logged)
        row = stored.get((body.harm, body.subject.subject))
        # A lead that was scored after the decision has the score of something else.
        if row is not None and (body.prediction_id in (None, row.prediction_id)) and row.scored_at <= logged.visible_at:
            purpose = found[logged.offset].purpose if logged.offset in found else None
            found[logged.offset] = _Shown(row.score, row.tier, row.model_version, purpose)
    return found


def _looks(connection: Connection, ids: Sequence[str]) -> dict[str, Any]:
    columns = [reviews.c[name] for name in ("id", "purpose", "score", "tier", "model_version")]
    found: dict[str, Any] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(*columns).where(reviews.c.id.in_(ids[start : start + _CHUNK]))
        found.update((row.id, row) for row in connection.execute(query))
    return found


def _leads(connection: Connection, decided: Sequence[LoggedEvent]) -> dict[tuple[str, Subject], Any]:
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    for body in map(decision_of, decided):
        wanted.setdefault((body.harm, body.subject.type_id), {})[body.subject.id] = None
    names = ("subject_id", "score", "tier", "model_version", "prediction_id", "scored_at")
    found: dict[tuple[str, Subject], Any] = {}
    for (harm, type_id), unique in wanted.items():
        ids = list(unique)
        for start in range(0, len(ids), _CHUNK):
            query = sa.select(*(leads.c[name] for name in names)).where(
                leads.c.type_id == type_id, leads.c.subject_id.in_(ids[start : start + _CHUNK]), leads.c.harm == harm
            )
            found.update(((harm, Subject(type_id, row.subject_id)), row) for row in connection.execute(query))
    return found


def _accounts(connection: Connection, subjects: set[Subject]) -> dict[Subject, str]:
    """The creators of items, as subject keys; accounts, and items whose creator isn't known, are absent."""
    items = current_items(connection, sorted(subjects))
    return {subject: f"account:{item.account_id}" for subject, item in items.items() if item.account_id is not None}
