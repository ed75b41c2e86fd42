"""The router: turns each event into updates of rows.

Rows count by their own key only. Anything that spans several keys is derived here, from the few events that aren't
plays: an item's creator and parent, its text's buckets, who reported it, how often those reporters were right, and
which verdict stands. Every worker routes every event but folds only its own keys; the router's state is small and is
derived again from the log at each start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from features.fold import near_text
from features.fold.counting import RowUpdate, mix_counter
from leads import clock
from leads.clock import Micros
from leads.content import content_hash
from leads.events import ACCOUNT as ACCOUNT_TYPE
from leads.events import DecisionMade, ItemCreated, LoggedEvent, Played, SignalReceived, Subject
from leads.rules import Made, happened_at, made, replaces_standing
from leads.text import visible
from leads_client.fields import Verdict

# Plays of 30 seconds or more earn royalties; streaming farms stop soon after.
SHORT_PLAY_S = (30.0, 36.0)
NIGHT_H = range(6)
# The maximum number of reporters and early signals to remember per item.
_MAX_REMEMBERED = 64
# Reporter reliabilities are rounded to 1/64, so that float32 sums of them are exact.
_STEPS = 64
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)


class Links(NamedTuple):
    """An item's creator, its parent, and the two buckets of its text."""

    account_id: str | None = None
    parent_key: str | None = None
    bucket_0: str | None = None
    bucket_1: str | None = None

    @property
    def buckets(self) -> tuple[str, ...]:
        return tuple(key for key in (self.bucket_0, self.bucket_1) if key is not None)


class _Standing(NamedTuple):
    """The verdict that stands on an item under one harm, the decision it rests on, and who was credited with it.

    `at` is when the verdict was credited; decisions that repeat it later don't change that.
    """

    verdict: Verdict
    made: Made
    at: Micros
    links: Links
    reporters: tuple[str, ...]


@dataclass(slots=True)
class _Item:
    """The router's state of one item.

    `links` and the hash `content` are of the version that holds, `content_at` is when that occurred. `standing` is by
    harm and content: a verdict counts for the content it was about. `early`: signals that arrived before the item.
    """

    links: Links | None = None
    content_at: Micros = 0
    content: str = content_hash(None)
    reporters: dict[tuple[str, str | None], None] = field(default_factory=dict)
    standing: dict[tuple[str, str], _Standing] = field(default_factory=dict)
    early: list[tuple[str, str | None, Micros]] = field(default_factory=list)


class Router:
    """Turns events into row updates. `route` depends only on the events routed before."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}
        self._reliability: dict[str, tuple[int, int]] = {}

    def route(self, logged: LoggedEvent) -> list[RowUpdate]:
        """The row updates that an event causes; one entity may appear more than once."""
        body = logged.event.body
        at = happened_at(logged.event.occurred_at, logged.visible_at)
        match body:
            case Played():
                return _played(body, at)
            case ItemCreated():
                return list(self._created(body, at))
            case SignalReceived():
                return list(self._signalled(body, at))
            case DecisionMade():
                return list(self._decided(logged, body, at))

    def links(self, subject: Subject) -> Links:
        """The subject's creator, parent and buckets, as far as they are known."""
        item = self._items.get(subject.key)
        return links_of(subject, item.links if item else None)

    def reliability(self, reporter_id: str | None) -> float:
        """How likely a report by them is right: the mean of Beta(1 + confirmed, 1 + rejected), rounded to 1/64."""
        confirmed, rejected = self._reliability.get(reporter_id or "", (0, 0))
        return round((1 + confirmed) / (2 + confirmed + rejected) * _STEPS) / _STEPS

    def _item(self, key: str) -> _Item:
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item()
        return item

    def _created(self, body: ItemCreated, at: Micros) -> Iterator[RowUpdate]:
        subject = body.subject.subject
        item = self._item(subject.key)
        before, links = item.links, item_links(body)
        # An older version that arrives late does not replace a newer one.
        older = before is not None and at < item.content_at
        if not older:
            item.links, item.content_at, item.content = links, at, content_hash(body)
        yield RowUpdate("item", subject.key, ("versions",), links=None if older else links)
        if subject.type_id == ACCOUNT_TYPE:
            yield RowUpdate("account", subject.id)
            return
        if older:
            return
        if links.account_id is not None and (before is None or before.account_id != links.account_id):
            seen = tuple(
                (sketch, key) for sketch, key in (("parents", links.parent_key), ("texts", links.bucket_0)) if key
            )
            counters = ("items", "link_items") if _LINK.search(visible(body.text)) else ("items",)
            yield RowUpdate("account", links.account_id, counters, seen)
        if links.parent_key is not None and (before is None or before.parent_key != links.parent_key):
            yield RowUpdate("parent", links.parent_key, ("children",), _distinct("accounts", links.account_id))
        for key in links.buckets:
            if before is None or key not in before.buckets:
                yield RowUpdate("bucket", key, ("items",), _distinct("accounts", links.account_id))
        for kind, reporter_id, then in item.early:
            yield from _signal_updates(kind, reporter_id, links, then)
        item.early.clear()

    def _signalled(self, body: SignalReceived, at: Micros) -> Iterator[RowUpdate]:
        subject = body.subject.subject
        item = self._item(subject.key)
        match body.kind:
            case "user_report":
                weight = self.reliability(body.reporter_id)
                yield RowUpdate(
                    "item",
                    subject.key,
                    ("reports",),
                    _distinct("reporters", body.reporter_id),
                    (("reliable_reports", weight, at),),
                )
                if body.reporter_id is not None:
                    yield RowUpdate("account", body.reporter_id, ("reports_made",))
                    if len(item.reporters) < _MAX_REMEMBERED:
                        item.reporters[body.reporter_id, body.harm] = None
            case "trusted_flagger":
                yield RowUpdate("item", subject.key, ("notices",))
            case "hash_match":
                yield RowUpdate("item", subject.key, ("hash_matches",))
            case "classifier":
                maxima = (("classifier", body.score),) if body.score is not None else ()
                yield RowUpdate("item", subject.key, maxima=maxima)
        if item.links is None and subject.type_id != ACCOUNT_TYPE:
            if body.kind in _COUNTERS and len(item.early) < _MAX_REMEMBERED:
                item.early.append((body.kind, body.reporter_id, at))
        else:
            yield from _signal_updates(body.kind, body.reporter_id, links_of(subject, item.links), at)

    def _decided(self, logged: LoggedEvent, body: DecisionMade, at: Micros) -> Iterator[RowUpdate]:
        subject = body.subject.subject
        item = self._item(subject.key)
        yield RowUpdate("item", subject.key, ("decisions",))
        about = body.harm, body.content.hash if body.content else item.content
        before = item.standing.get(about)
        if not replaces_standing(logged, before.made if before else None):
            return
        if before and before.verdict == body.verdict:
            item.standing[about] = before._replace(made=made(logged))
            return
        reporters = tuple(dict.fromkeys(who for who, harm in item.reporters if harm in (None, body.harm)))
        standing = _Standing(body.verdict, made(logged), at, links_of(subject, item.links), reporters)
        item.standing[about] = standing
        if before:
            yield from self._credit(before, -1)
        yield from self._credit(standing, 1)

    def _credit(self, standing: _Standing, sign: int) -> Iterator[RowUpdate]:
        """Count a verdict (`sign` 1), or undo the count of one that was overturned (`sign` -1)."""
        violating, links, at = standing.verdict == "violating", standing.links, standing.at
        if links.account_id is not None:
            counter = "strikes" if violating else "cleared"
            yield RowUpdate("account", links.account_id, amounts=((counter, sign, at),))
        if violating:
            for key in links.buckets:
                yield RowUpdate("bucket", key, amounts=(("violations", sign, at),))
        for reporter_id in standing.reporters:
            confirmed, rejected = self._reliability.get(reporter_id, (0, 0))
            self._reliability[reporter_id] = (confirmed + sign * violating, rejected + sign * (not violating))
            counter = "reports_confirmed" if violating else "reports_rejected"
            yield RowUpdate("account", reporter_id, amounts=((counter, sign, at),))


def links_of(subject: Subject, stored: Links | None) -> Links:
    """The links of a subject, given the stored ones. An account counts as its own creator."""
    if subject.type_id == ACCOUNT_TYPE:
        return Links(subject.id)
    return stored or Links()


def item_links(body: ItemCreated, buckets: Callable[[str], near_text.Buckets] = near_text.buckets) -> Links:
    """The links given by an `ItemCreated` event."""
    if body.subject.type_id == ACCOUNT_TYPE:
        return Links(body.subject.id)
    return Links(body.account_id, body.parent.subject.key if body.parent else None, *buckets(body.text))


def _played(body: Played, at: Micros) -> list[RowUpdate]:
    subject = body.subject.subject
    counters: tuple[str, ...] = ("plays",)
    if SHORT_PLAY_S[0] <= body.seconds < SHORT_PLAY_S[1]:
        counters = ("plays", "short_plays")
    by_account = (*counters, mix_counter(subject.key))
    if at // clock.HOUR % 24 in NIGHT_H:
        by_account = (*by_account, "night_plays")
    device = body.device_id
    updates = [RowUpdate("item", subject.key, counters, (("listeners", body.account_id),))]
    if device is None:
        updates.append(RowUpdate("account", body.account_id, by_account, (("tracks", subject.key),)))
    else:
        seen = (("tracks", subject.key), ("devices", device))
        updates.append(RowUpdate("account", body.account_id, by_account, seen, links=(device,)))
        updates.append(RowUpdate("device", device, ("plays",), (("accounts", body.account_id),)))
    return updates


# By kind of signal: the counter of the creator, parent and buckets that it increases.
_COUNTERS: Mapping[str, str] = {"user_report": "reports", "trusted_flagger": "notices", "hash_match": "notices"}


def _signal_updates(kind: str, reporter_id: str | None, links: Links, at: Micros) -> Iterator[RowUpdate]:
    """Updates of the rows of an item's creator, parent and buckets for a signal about the item."""
    counter = _COUNTERS.get(kind)
    if counter is None:
        return
    amounts = ((counter, 1.0, at),)
    if links.account_id is not None:
        reporters = _distinct("reporters", reporter_id) if counter == "reports" else ()
        yield RowUpdate("account", links.account_id, distinct=reporters, amounts=amounts, seen_at=at)
    if counter == "reports":
        if links.parent_key is not None:
            yield RowUpdate("parent", links.parent_key, amounts=amounts)
        for key in links.buckets:
            yield RowUpdate("bucket", key, amounts=amounts)


def _distinct(sketch: str, element: str | None) -> tuple[tuple[str, str], ...]:
    return ((sketch, element),) if element is not None else ()
