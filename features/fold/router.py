"""The router: turns each event into updates of rows.

Rows count by their own key only. Anything that spans several keys is derived here, from the few events that aren't
plays: an item's creator and parent, its text's buckets, who reported it, how often those reporters were right, and
which verdict stands. Every worker routes every event but folds only its own keys, so each keeps what its router knows
in a state store of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from features.fold import near_text
from features.fold.counting import RowUpdate, mix_counter
from features.fold.known import Item, Known, Record, Standing
from features.links import Links, links_of
from features.state.store import StateStore
from leads import clock
from leads.clock import Micros
from leads.content import content_hash, judged_text
from leads.events import ACCOUNT as ACCOUNT_TYPE
from leads.events import DecisionMade, Happened, ItemCreated, LoggedEvent, Played, SignalReceived
from leads.rules import happened_at, made, replaces_standing
from leads.text import visible

# Plays of 30 seconds or more earn royalties; streaming farms stop soon after.
SHORT_PLAY_S = (30.0, 36.0)
NIGHT_H = range(6)
# The maximum number of reporters and early signals to remember per item.
_MAX_REMEMBERED = 64
# Reporter reliabilities are rounded to 1/64, so that float32 sums of them are exact.
_STEPS = 64
# How many values of the state are kept in memory; see `Loaded`.
_KEPT_ITEMS, _KEPT_REPORTERS = 20_000, 20_000
_NO_RECORD = Record()
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)


class Router:
    """Turns events into row updates. `route` depends only on the events routed before.

    Args:
        store: what it knows when it starts, as of the store's position.
    """

    def __init__(self, store: StateStore) -> None:
        self._items = Known(store, "routed_item", Item, limit=_KEPT_ITEMS)
        self._records = Known(store, "reporter", Record, limit=_KEPT_REPORTERS)
        self.state = (self._items, self._records)

    def load(self, events: Iterable[LoggedEvent]) -> None:
        """Load what routing these events needs; call it before routing the first of them."""
        bodies = [logged.event.body for logged in events if not isinstance(logged.event.body, Played | Happened)]
        self._items.load(body.subject.subject.key for body in bodies)
        reporters = {body.reporter_id for body in bodies if isinstance(body, SignalReceived)} - {None}
        for body in bodies:
            if isinstance(body, DecisionMade) and (item := self._items.values.get(body.subject.subject.key)):
                reporters |= item.credited()
        self._records.load(who for who in reporters if who is not None)

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
            case Happened():
                return []

    def end_batch(self) -> None:
        """Call this when every event that was loaded has been routed."""
        for known in self.state:
            known.encode_put()

    def reliability(self, reporter_id: str | None) -> float:
        """How likely a report by them is right: the mean of Beta(1 + confirmed, 1 + rejected), rounded to 1/64."""
        confirmed, rejected = self._records.values.get(reporter_id or "", _NO_RECORD)
        return round((1 + confirmed) / (2 + confirmed + rejected) * _STEPS) / _STEPS

    def _item(self, key: str) -> Item:
        """The item, which the caller is going to change."""
        item = self._items.values.get(key)
        if item is None:
            item = Item()
        self._items.put(key, item)
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
            counters = ("items", "link_items") if _LINK.search(visible(judged_text(body))) else ("items",)
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
        standing = Standing(body.verdict, made(logged), at, links_of(subject, item.links), reporters)
        item.standing[about] = standing
        if before:
            yield from self._credit(before, -1)
        yield from self._credit(standing, 1)

    def _credit(self, standing: Standing, sign: int) -> Iterator[RowUpdate]:
        """Count a verdict (`sign` 1), or undo the count of one that was overturned (`sign` -1)."""
        violating, links, at = standing.verdict == "violating", standing.links, standing.at
        if links.account_id is not None:
            counter = "strikes" if violating else "cleared"
            yield RowUpdate("account", links.account_id, amounts=((counter, sign, at),))
        if violating:
            for key in links.buckets:
                yield RowUpdate("bucket", key, amounts=(("violations", sign, at),))
        for reporter_id in standing.reporters:
            confirmed, rejected = self._records.values.get(reporter_id, _NO_RECORD)
            record = Record(confirmed + sign * violating, rejected + sign * (not violating))
            self._records.put(reporter_id, record)
            counter = "reports_confirmed" if violating else "reports_rejected"
            yield RowUpdate("account", reporter_id, amounts=((counter, sign, at),))


def item_links(body: ItemCreated, buckets: Callable[[str], near_text.Buckets] = near_text.buckets) -> Links:
    """The links given by an `ItemCreated` event."""
    if body.subject.type_id == ACCOUNT_TYPE:
        return Links(body.subject.id)
    return Links(body.account_id, body.parent.subject.key if body.parent else None, *buckets(judged_text(body)))


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
