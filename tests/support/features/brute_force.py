"""Recomputes every stored feature from the list of events: slow, and written from the documentation alone.

No state is kept: the features at an instant are computed from all events that were visible by then. Two definitions
are shared with the code: a text's bucket keys, and the hash that assigns elements to slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import mmh3
import numpy as np

from features.fold.near_text import buckets
from leads import clock
from leads.events import DecisionMade, ItemCreated, LoggedEvent, Played, SignalReceived, Subject
from tests.support.features.formulas import FORMULAS, NAN, View


@dataclass
class Entity:
    """The events of one entity: (counter, time, amount) and (sketch, element, time)."""

    touched: list[int] = field(default_factory=list)
    counted: list[tuple[str, int, float]] = field(default_factory=list)
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    highest: float = 0.0
    links: tuple[str | None, ...] = ()


@dataclass
class Item:
    links: tuple[str | None, ...] | None = None
    reporters: list[tuple[str, str | None]] = field(default_factory=list)
    early: list[tuple[str, str | None, int]] = field(default_factory=list)
    content_at: int = 0
    content: str = ""
    # (harm, content) → (verdict, by, at, links at the time, reporters at the time)
    standing: dict[tuple[str, str], tuple[str, str, int, tuple[str | None, ...], list[str]]] = field(
        default_factory=dict
    )
    # When the newest decision behind the standing verdict happened.
    latest: dict[tuple[str, str], int] = field(default_factory=dict)


class History:
    """All entities after the given events."""

    def __init__(self, events: Sequence[LoggedEvent]) -> None:
        self.entities: dict[tuple[str, str], Entity] = {}
        self.items: dict[str, Item] = {}
        self.record: dict[str, list[int]] = {}
        for logged in events:
            at = min(logged.event.occurred_at, logged.visible_at)
            self.add(logged.event.body, at)

    def at(self, view: str, key: str, at: int) -> Entity:
        entity = self.entities.setdefault((view, key), Entity())
        entity.touched.append(at)
        return entity

    def count(self, view: str, key: str | None, what: str, at: int, *, then: int | None = None, by: float = 1) -> None:
        if key is not None:
            self.at(view, key, at).counted.append((what, at if then is None else then, by))

    def see(
        self, view: str, key: str | None, sketch: str, element: str | None, at: int, *, then: int | None = None
    ) -> None:
        if key is not None and element is not None:
            self.at(view, key, at).seen.append((sketch, element, at if then is None else then))

    def add(self, body: object, at: int) -> None:
        match body:
            case Played():
                self.played(body, at)
            case ItemCreated():
                self.created(body, at)
            case SignalReceived():
                self.signalled(body, at)
            case DecisionMade():
                self.decided(body, at)

    def played(self, body: Played, at: int) -> None:
        track = body.subject.subject.key
        for view, key in (("item", track), ("account", body.account_id)):
            self.count(view, key, "plays", at)
            if 30 <= body.seconds < 36:
                self.count(view, key, "short", at)
        self.see("item", track, "listeners", body.account_id, at)
        if at // clock.HOUR % 24 < 6:
            self.count("account", body.account_id, "night", at)
        self.count("account", body.account_id, f"mix{mmh3.hash(track, 7, False) % 16}", at)
        self.see("account", body.account_id, "tracks", track, at)
        if body.device_id is not None:
            self.see("account", body.account_id, "devices", body.device_id, at)
            self.entities["account", body.account_id].links = (body.device_id,)
            self.count("device", body.device_id, "plays", at)
            self.see("device", body.device_id, "accounts", body.account_id, at)

    def created(self, body: ItemCreated, at: int) -> None:
        subject = body.subject.subject
        self.count("item", subject.key, "versions", at)
        item = self.items.setdefault(subject.key, Item())
        older = item.links is not None and at < item.content_at
        if not older:
            item.content_at, item.content = at, body.text
        if subject.type_id == "account":
            item.links = (subject.id, None, None, None)
            self.at("account", subject.id, at)
            return
        if older:
            return
        before = item.links or (None,) * 4
        new = item.links is None
        item.links = (body.account_id, body.parent.subject.key if body.parent else None, *buckets(body.text))
        self.entities["item", subject.key].links = item.links
        account, parent, *keys = item.links
        if account is not None and (new or before[0] != account):
            self.count("account", account, "items", at)
            if "http" in body.text.lower() or "www." in body.text.lower():
                self.count("account", account, "link_items", at)
            self.see("account", account, "parents", parent, at)
            self.see("account", account, "texts", keys[0], at)
        if parent is not None and (new or before[1] != parent):
            self.count("parent", parent, "children", at)
            self.see("parent", parent, "accounts", account, at)
        for key in keys:
            if key is not None and (new or key not in before[2:]):
                self.count("bucket", key, "items", at)
                self.see("bucket", key, "accounts", account, at)
        for kind, reporter, then in item.early:
            self.propagate(kind, reporter, item.links, at, then)
        item.early = []

    def signalled(self, body: SignalReceived, at: int) -> None:
        subject = body.subject.subject
        item = self.items.setdefault(subject.key, Item())
        entity = self.at("item", subject.key, at)
        if body.kind == "user_report":
            right, wrong = self.record.get(body.reporter_id or "", [0, 0])
            self.count("item", subject.key, "reports", at)
            self.count("item", subject.key, "reliable", at, by=round((1 + right) / (2 + right + wrong) * 64) / 64)
            self.see("item", subject.key, "reporters", body.reporter_id, at)
            if body.reporter_id is not None:
                self.count("account", body.reporter_id, "reports_made", at)
                if (body.reporter_id, body.harm) not in item.reporters:
                    item.reporters.append((body.reporter_id, body.harm))
        elif body.kind == "classifier":
            entity.highest = max(entity.highest, float(np.float32(body.score or 0)))
        else:
            self.count("item", subject.key, {"trusted_flagger": "notices", "hash_match": "hashes"}[body.kind], at)
        if subject.type_id == "account":
            self.propagate(body.kind, body.reporter_id, (subject.id, None, None, None), at, at)
        elif item.links is None:
            item.early.append((body.kind, body.reporter_id, at))
        else:
            self.propagate(body.kind, body.reporter_id, item.links, at, at)

    def propagate(self, kind: str, reporter: str | None, links: tuple[str | None, ...], at: int, then: int) -> None:
        account, parent, *keys = links
        if kind == "user_report":
            for view, key in (("account", account), ("parent", parent), *(("bucket", key) for key in keys)):
                self.count(view, key, "reports", at, then=then)
            self.see("account", account, "reporters", reporter, at, then=then)
        elif kind != "classifier":
            self.count("account", account, "notices", at, then=then)

    def decided(self, body: DecisionMade, at: int) -> None:
        subject = body.subject.subject
        self.at("item", subject.key, at)
        item = self.items.setdefault(subject.key, Item())
        about = (body.harm, item.content)
        before = item.standing.get(about)
        if body.verdict == "escalate" or (before and before[1] == "human" and body.by == "automation"):
            return
        if before and before[1] == body.by and at < item.latest[about]:
            return
        item.latest[about] = at
        if before and before[0] == body.verdict:
            item.standing[about] = (before[0], body.by, *before[2:])
            return
        links = (subject.id, None, None, None) if subject.type_id == "account" else item.links or (None,) * 4
        reporters = sorted({who for who, harm in item.reporters if harm in (None, body.harm)})
        item.standing[about] = (body.verdict, body.by, at, links, reporters)
        for (verdict, _, then, linked, who), by in (*([(before, -1)] if before else []), (item.standing[about], 1)):
            bad = verdict == "violating"
            self.count("account", linked[0], "strikes" if bad else "cleared", at, then=then, by=by)
            if bad:
                for key in linked[2:]:
                    self.count("bucket", key, "violations", at, then=then, by=by)
            for reporter in who:
                self.record.setdefault(reporter, [0, 0])[0 if bad else 1] += by
                self.count("account", reporter, "right" if bad else "wrong", at, then=then, by=by)


def expected(events: Sequence[LoggedEvent], subject: Subject, as_of: int) -> dict[str, float]:
    """Every stored feature of a subject at an instant, from the events visible by then."""
    history = History([logged for logged in events if logged.visible_at <= as_of])
    entities = history.entities
    item = entities.get(("item", subject.key))
    links = (item.links if item else ()) or (None,) * 4
    if subject.type_id == "account":
        links = (subject.id, None, None, None)
    account = entities.get(("account", links[0] or ""))
    (device,) = (account.links if account else ()) or (None,)
    found = {
        "item": [item],
        "account": [account],
        "parent": [entities.get(("parent", links[1] or ""))],
        "bucket": [entities.get(("bucket", key or "")) for key in links[2:]],
        "device": [entities.get(("device", device or ""))],
    }
    values = {}
    for name, formula in FORMULAS.items():
        each = [formula(View(entity, as_of)) for entity in found[name.partition(".")[0]]]
        known = [value for value in each if not np.isnan(value)]
        values[name] = max(known) if known else NAN
    return values
