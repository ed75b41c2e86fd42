"""Finds declared features that have no value so far, although the declaration alone doesn't rule one out."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.db.tables import NOT_A_PLAY, events
from leads.events import Happened, decode_event
from leads.platform.declaration import Platform
from leads.platform.features import FeatureDeclaration
from leads.platform.kinds import ROWS, default_by
from leads.policies import Policies

# The newest events of declared kinds that are looked at.
_MOST = 5_000


def valueless(connection: Connection, platform: Platform, policies: Policies) -> list[str]:
    """A sentence for each feature without a value: why, and what to do."""
    return [*_of_no_harm(platform, policies), *_of_nobody(connection, platform)]


def _of_no_harm(platform: Platform, policies: Policies) -> Iterator[str]:
    """Features of items of types that no harm is about."""
    judged = {type_id for harm in policies.harms.values() for type_id in harm.subject_types}
    for name, one in platform.features.items():
        about = platform.events[one.kind].about if one.kind is not None and one.kind in platform.events else None
        if about and _by(name, one) == "about" and name.startswith("item.") and judged.isdisjoint(about):
            yield (
                f"{name}: {one.kind} is only about {' or '.join(about)}, and no harm of policies.yaml applies to that, "
                "so the feature has no value for any lead. Count it in the row of an account or a parent."
            )


def _of_nobody(connection: Connection, platform: Platform) -> Iterator[str]:
    """Features that count who did events that no account did."""
    counted = {
        name: one.kind
        for name, one in platform.features.items()
        if one.kind in platform.events and "who" in (one.source, _by(name, one))
    }
    by_nobody = _done_by_nobody(connection, {kind for kind in counted.values() if kind is not None})
    for name, kind in counted.items():
        if kind in by_nobody:
            yield (
                f"{name}: none of the newest {kind} events in the log says which account did it (accountId), so the "
                "feature has no value. Count by or over about instead of who, or send accountId."
            )


def _by(name: str, one: FeatureDeclaration) -> str | None:
    view = name.partition(".")[0]
    return one.by or (default_by(view, one.kind or "") if view in ROWS else None)


def _done_by_nobody(connection: Connection, kinds: Collection[str]) -> set[str]:
    """Those of the kinds of which the log has events, the newest of them all without an account."""
    if not kinds:
        return set()
    query = (
        sa.select(events.c.raw)
        .where(NOT_A_PLAY, events.c.kind == "happened")
        .order_by(events.c.offset.desc())
        .limit(_MOST)
    )
    found, by_somebody = set[str](), set[str]()
    for (raw,) in connection.execute(query):
        body = decode_event(raw).body
        if isinstance(body, Happened) and body.kind in kinds:
            found.add(body.kind)
            if body.account_id is not None:
                by_somebody.add(body.kind)
    return found - by_somebody
