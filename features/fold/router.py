"""The router: turns each event into updates of rows.

What an update counts is declared (`features.declared`); the router decides whose rows an event concerns. Rows count by
their own key only. Anything that spans several keys is derived here, from the few events that aren't
plays: an item's creator and parent, its text's buckets, who reported it, how often those reporters were right, and
which verdict stands. Every worker routes every event but folds only its own keys, so each keeps what its router knows
in a state store of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from features.declared.feature_set import FeatureSet
from features.declared.own import own_value
from features.declared.recipes import Recipe, Values, key_of
from features.declared.row_update import RowUpdate
from features.fold import near_text
from features.fold.known import Item, Known, Record, Standing, Waiting
from features.links import Links, links_of
from features.state.store import StateStore
from leads import clock
from leads.clock import Micros
from leads.content import content_hash, judged_text
from leads.events import ACCOUNT as ACCOUNT_TYPE
from leads.events import Body, DecisionMade, Happened, ItemCreated, LoggedEvent, Played, SignalReceived, Subject
from leads.rules import happened_at, made, replaces_standing
from leads.text import visible

# The maximum number of reporters, and of signals and events that came before the item, to remember per item.
_MAX_REMEMBERED = 64
# Reporter reliabilities are rounded to 1/64, so that float32 sums of them are exact.
_STEPS = 64
# How many values of the state are kept in memory; see `Loaded`.
_KEPT_ITEMS, _KEPT_REPORTERS = 20_000, 20_000
_NO_RECORD = Record()
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
# Ways to count an event about an item that need to know the item.
_OF_ITEM = frozenset(("creator", "parent", "text"))
_NOTHING: Values = {}


class Router:
    """Turns events into row updates. `route` depends only on the events routed before.

    Args:
        store: what it knows when it starts, as of the store's position.
        features: what is counted.
    """

    def __init__(self, store: StateStore, features: FeatureSet) -> None:
        self._items = Known(store, "routed_item", Item, limit=_KEPT_ITEMS)
        self._records = Known(store, "reporter", Record, limit=_KEPT_REPORTERS)
        self.state = (self._items, self._records)
        self._recipes = features.recipes
        self._declared = features.declared_kinds
        self._own_fields = features.own_fields
        # By declared kind, the fields that count once the item is known that an event is about.
        self._read_later = {
            kind: {field for by in _OF_ITEM for recipe in self._by(kind, by) for field in recipe.fields}
            for kind in self._declared
        }
        # By declared kind, how an event that nobody did gives keys to the account that it is about.
        self._gives_keys = {k: [x for one in self._by(k, "who") if (x := one.keys_alone)] for k in self._declared}
        self._play_about = [one for one in self._by("play", "about") if one.view != "account"]
        self._play_who, self._play_device = self._by("play", "who"), self._by("play", "device")

    def load(self, events: Iterable[LoggedEvent]) -> None:
        """Load what routing these events needs; call it before routing the first of them."""
        bodies = [body for logged in events if not isinstance(body := logged.event.body, Played)]
        self._items.load(body.subject.subject.key for body in bodies if self._needs_item(body))
        reporters = {body.reporter_id for body in bodies if isinstance(body, SignalReceived)} - {None}
        for body in bodies:
            if isinstance(body, DecisionMade) and (item := self._items.values.get(body.subject.subject.key)):
                reporters |= item.credited()
        self._records.load(who for who in reporters if who is not None)

    def _needs_item(self, body: Body) -> bool:
        return not isinstance(body, Happened) or not _OF_ITEM.isdisjoint(self._declared.get(body.kind, ()))

    def route(self, logged: LoggedEvent) -> list[RowUpdate]:
        """The row updates that an event causes; one entity may appear more than once."""
        body = logged.event.body
        at = happened_at(logged.event.occurred_at, logged.visible_at)
        match body:
            case Played():
                return self._played(body, at)
            case ItemCreated():
                return list(self._created(body, at))
            case SignalReceived():
                return list(self._signalled(body, at))
            case DecisionMade():
                return list(self._decided(logged, body, at))
            case Happened():
                return list(self._happened(body, at)) if body.kind in self._declared else []

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

    def _by(self, kind: str, by: str) -> Sequence[Recipe]:
        return self._recipes.get((kind, by), ())

    def _about(
        self,
        kind: str,
        subject: Subject,
        values: Values,
        at: Micros,
        *,
        links: Links | None = None,
        older: bool = False,
    ) -> Iterator[RowUpdate]:
        """The updates of the rows of what an event is about.

        Args:
            links: the item's links from now on; None leaves them.
            older: whether the event is an older version of the item.
        """
        for recipe in self._by(kind, "about"):
            if recipe.view != "account":
                new = links if recipe.view == "item" else None
                yield recipe.update(subject.key, values, at, links=new, older=older)
            elif subject.type_id == ACCOUNT_TYPE:
                yield recipe.update(subject.id, values, at, older=older)

    def _played(self, body: Played, at: Micros) -> list[RowUpdate]:
        key, who, device = body.subject.subject.key, body.account_id, body.device_id
        hour = at // clock.HOUR % 24
        values = {"seconds": body.seconds, "hour": hour, "who": who, "about": key, "device": device}
        updates = [recipe.update(key, values, at) for recipe in self._play_about]
        updates += [recipe.update(who, values, at) for recipe in self._play_who]
        if device is not None:
            updates += [recipe.update(device, values, at) for recipe in self._play_device]
        return updates

    def _created(self, body: ItemCreated, at: Micros) -> Iterator[RowUpdate]:
        subject = body.subject.subject
        item = self._item(subject.key)
        before, links = item.links, item_links(body)
        # An older version that arrives late does not replace a newer one.
        older = before is not None and at < item.content_at
        if not older:
            item.links, item.content_at, item.content = links, at, content_hash(body)
        own = self._own_values(body)
        if subject.type_id == ACCOUNT_TYPE:
            yield RowUpdate("account", subject.id)
        yield from self._about("item", subject, own, at, links=None if older else links, older=older)
        if older or subject.type_id == ACCOUNT_TYPE:
            return
        values = {
            "link": bool(_LINK.search(visible(judged_text(body)))),
            "who": links.account_id,
            "parent": links.parent_key,
            "text": links.bucket_0,
        }
        if links.account_id is not None and (before is None or before.account_id != links.account_id):
            yield from self._update("post", "creator", links.account_id, values, at)
        if links.parent_key is not None and (before is None or before.parent_key != links.parent_key):
            yield from self._update("post", "parent", links.parent_key, values, at)
        for key in links.buckets:
            if before is None or key not in before.buckets:
                yield from self._update("post", "text", key, values, at)
        for kind, reporter_id, then in item.early:
            yield from self._signal_updates(kind, reporter_id, links, at, then)
        for waiting in item.waiting:
            yield from self._happened_to(links, waiting.kind, waiting.values, at, seen_at=waiting.at)
        item.early.clear()
        item.waiting.clear()

    def _update(
        self, kind: str, by: str, key: str, values: Values, at: Micros, *, times: int = 1, seen_at: Micros | None = None
    ) -> Iterator[RowUpdate]:
        for recipe in self._by(kind, by):
            yield recipe.update(key, values, at, times=times, seen_at=seen_at)

    def _signalled(self, body: SignalReceived, at: Micros) -> Iterator[RowUpdate]:
        subject = body.subject.subject
        item = self._item(subject.key)
        who = body.reporter_id
        values: Values = {"who": who, "score": body.score}
        if body.kind == "user_report":
            values = {"who": who, "weight": self.reliability(who)}
        yield from self._about(body.kind, subject, values, at)
        if body.kind == "user_report" and who is not None:
            yield from self._update("user_report", "who", who, {"who": who}, at)
            if len(item.reporters) < _MAX_REMEMBERED:
                item.reporters[who, body.harm] = None
        if item.links is None and subject.type_id != ACCOUNT_TYPE:
            if body.kind in _DERIVED and len(item.early) < _MAX_REMEMBERED:
                item.early.append((body.kind, who, at))
        else:
            yield from self._signal_updates(body.kind, who, links_of(subject, item.links), at, at)

    def _signal_updates(
        self, kind: str, reporter_id: str | None, links: Links, at: Micros, seen_at: Micros
    ) -> Iterator[RowUpdate]:
        """Updates of the rows of an item's creator, parent and buckets for a signal about the item."""
        derived = _DERIVED.get(kind)
        if derived is not None:
            yield from self._happened_to(links, derived, {"who": reporter_id}, at, seen_at=seen_at)

    def _happened_to(
        self, links: Links, kind: str, values: Values, at: Micros, *, seen_at: Micros | None = None
    ) -> Iterator[RowUpdate]:
        """Updates of the rows of an item's creator, parent and buckets for an event about the item."""
        if links.account_id is not None:
            yield from self._update(kind, "creator", links.account_id, values, at, seen_at=seen_at)
        if links.parent_key is not None:
            yield from self._update(kind, "parent", links.parent_key, values, at, seen_at=seen_at)
        for key in links.buckets:
            yield from self._update(kind, "text", key, values, at, seen_at=seen_at)

    def _decided(self, logged: LoggedEvent, body: DecisionMade, at: Micros) -> Iterator[RowUpdate]:
        subject = body.subject.subject
        item = self._item(subject.key)
        yield from self._about("decision", subject, _NOTHING, at)
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
            yield from self._credit(before, -1, at)
        yield from self._credit(standing, 1, at)

    def _credit(self, standing: Standing, times: int, at: Micros) -> Iterator[RowUpdate]:
        """Count a verdict (`times` 1), or undo the count of one that was overturned (`times` -1)."""
        violating, links, then = standing.verdict == "violating", standing.links, standing.at
        values = {"violating": violating}
        if links.account_id is not None:
            yield from self._update("verdict", "creator", links.account_id, values, at, times=times, seen_at=then)
        for key in links.buckets:
            yield from self._update("verdict", "text", key, values, at, times=times, seen_at=then)
        for reporter_id in standing.reporters:
            confirmed, rejected = self._records.values.get(reporter_id, _NO_RECORD)
            record = Record(confirmed + times * violating, rejected + times * (not violating))
            self._records.put(reporter_id, record)
            confirms = {"confirmed": violating}
            yield from self._update("report_verdict", "who", reporter_id, confirms, at, times=times, seen_at=then)

    def _happened(self, body: Happened, at: Micros) -> Iterator[RowUpdate]:
        """Updates for an event of a declared kind that features count."""
        subject = body.subject.subject
        values = {**body.fields, "who": body.account_id, "about": subject.key, "hour": at // clock.HOUR % 24}
        for by in self._declared[body.kind]:
            if by == "about":
                yield from self._about(body.kind, subject, values, at)
            elif by == "who":
                if body.account_id is not None:
                    yield from self._update(body.kind, "who", body.account_id, values, at)
                elif subject.type_id == ACCOUNT_TYPE:
                    given = (one.update(subject.id, values, at) for one in self._gives_keys[body.kind])
                    yield from (update for update in given if update.linked)
            elif by not in _OF_ITEM and (key := values.get(by)) is not None:
                yield from self._update(body.kind, by, key_of(key), values, at)
        if self._needs_item(body):
            item = self._items.values.get(subject.key)
            if subject.type_id == ACCOUNT_TYPE or (item is not None and item.links is not None):
                yield from self._happened_to(links_of(subject, item.links if item else None), body.kind, values, at)
            elif item is None or len(item.waiting) < _MAX_REMEMBERED:
                needed = {name: value for name, value in values.items() if name in self._read_later[body.kind]}
                self._item(subject.key).waiting.append(Waiting(body.kind, needed, at))

    def _own_values(self, body: ItemCreated) -> Values:
        """The values of an item's own fields that features read."""
        values = body.values if self._own_fields else {}
        return {name: own_value(values, name) for name in self._own_fields}


def item_links(body: ItemCreated, buckets: Callable[[str], near_text.Buckets] = near_text.buckets) -> Links:
    """The links given by an `ItemCreated` event."""
    if body.subject.type_id == ACCOUNT_TYPE:
        return Links(body.subject.id)
    return Links(body.account_id, body.parent.subject.key if body.parent else None, *buckets(judged_text(body)))


# By kind of signal: the derived event that counts for the item's creator, parent and buckets.
_DERIVED: Mapping[str, str] = {"user_report": "user_report", "trusted_flagger": "flagged", "hash_match": "flagged"}
