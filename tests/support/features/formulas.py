"""Every feature as its name and meaning define it, computed from plain lists of one entity's events."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import mmh3
import numpy as np

from leads import clock

WINDOWS = {"1h": (300, 12), "24h": (3_600, 24), "7d": (86_400, 7), "90d": (604_800, 13)}
NAN = float("nan")


class Happened(Protocol):
    """`brute_force.Entity`."""

    touched: list[int]
    counted: list[tuple[str, int, float]]
    seen: list[tuple[str, str, int]]
    highest: float


class View:
    """One entity (or none) as of an instant."""

    def __init__(self, entity: Happened | None, as_of: int) -> None:
        self.entity, self.now = entity, as_of // clock.SECOND

    def within(self, at: int, window: str) -> bool:
        width, size = WINDOWS[window]
        return self.now // width - at // clock.SECOND // width < size

    def count(self, what: str, window: str) -> float:
        if self.entity is None:
            return NAN
        return sum(by for name, at, by in self.entity.counted if name == what and self.within(at, window))

    def total(self, what: str) -> float:
        return NAN if self.entity is None else sum(by for name, _, by in self.entity.counted if name == what)

    def distinct(self, sketch: str, window: str, slots: int) -> float:
        if self.entity is None:
            return NAN
        width, size = WINDOWS[window]
        oldest = self.now // 300 - width * size // 300
        recent = {e for name, e, at in self.entity.seen if name == sketch and at // clock.SECOND // 300 > oldest}
        filled = len({mmh3.hash(element, 0, False) % slots for element in recent})
        return float(np.rint(-slots * math.log1p(-(filled - 0.5 * (filled == slots)) / slots)))

    def age_h(self) -> float:
        if self.entity is None:
            return NAN
        return max(0.0, (self.now - min(self.entity.touched) // clock.SECOND) / 3_600)

    def highest(self) -> float:
        return NAN if self.entity is None else self.entity.highest

    def entropy(self) -> float:
        plays = [self.count(f"mix{i}", "7d") for i in range(16)]
        whole = sum(plays)
        if not whole > 0:
            return NAN
        return round(-sum(p / whole * math.log2(p / whole) for p in plays if p), 4) + 0.0


def over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else NAN


def surge(v: View) -> float:
    today, week = v.count("reports", "24h"), v.count("reports", "7d")
    return today / (1 + max(week - today, 0) / 6)


Formula = Callable[[View], float]

FORMULAS: dict[str, Formula] = {
    "item.age_h": View.age_h,
    "item.versions": lambda v: v.total("versions"),
    **{f"item.plays_{w}": (lambda v, w=w: v.count("plays", w)) for w in ("1h", "24h", "7d")},  # type: ignore[misc]
    "item.play_velocity": lambda v: over(v.count("plays", "1h") * 24, v.count("plays", "24h")),
    "item.listeners_24h": lambda v: v.distinct("listeners", "24h", 64),
    "item.plays_per_listener_24h": lambda v: over(v.count("plays", "24h"), v.distinct("listeners", "24h", 64)),
    "item.short_share_24h": lambda v: over(v.count("short", "24h"), v.count("plays", "24h")),
    **{f"item.reports_{w}": (lambda v, w=w: v.count("reports", w)) for w in WINDOWS},  # type: ignore[misc]
    "item.reporters_7d": lambda v: v.distinct("reporters", "7d", 32),
    "item.reliable_reports_7d": lambda v: v.count("reliable", "7d"),
    "item.report_surge": surge,
    "item.report_rate_24h": lambda v: 100 * v.count("reports", "24h") / (v.count("plays", "24h") + 1),
    "item.notices": lambda v: v.total("notices"),
    "item.hash_matches": lambda v: v.total("hashes"),
    "item.classifier_score": View.highest,
    "account.age_h": View.age_h,
    **{f"account.items_{w}": (lambda v, w=w: v.count("items", w)) for w in WINDOWS},  # type: ignore[misc]
    "account.item_velocity": lambda v: over(v.count("items", "1h") * 168, v.count("items", "7d")),
    "account.parents_24h": lambda v: v.distinct("parents", "24h", 32),
    "account.texts_7d": lambda v: v.distinct("texts", "7d", 32),
    "account.items_per_text_7d": lambda v: over(v.count("items", "7d"), v.distinct("texts", "7d", 32)),
    "account.link_share_7d": lambda v: over(v.count("link_items", "7d"), v.count("items", "7d")),
    **{f"account.reports_{w}": (lambda v, w=w: v.count("reports", w)) for w in ("24h", "7d", "90d")},  # type: ignore[misc]
    "account.reporters_7d": lambda v: v.distinct("reporters", "7d", 32),
    "account.notices_90d": lambda v: v.count("notices", "90d"),
    "account.strikes": lambda v: v.total("strikes"),
    "account.strikes_90d": lambda v: v.count("strikes", "90d"),
    "account.cleared": lambda v: v.total("cleared"),
    "account.strike_share": lambda v: over(v.total("strikes"), v.total("strikes") + v.total("cleared")),
    **{f"account.plays_{w}": (lambda v, w=w: v.count("plays", w)) for w in WINDOWS},  # type: ignore[misc]
    "account.tracks_24h": lambda v: v.distinct("tracks", "24h", 64),
    "account.track_entropy_7d": View.entropy,
    "account.short_share_24h": lambda v: over(v.count("short", "24h"), v.count("plays", "24h")),
    "account.short_share_7d": lambda v: over(v.count("short", "7d"), v.count("plays", "7d")),
    "account.night_share_7d": lambda v: over(v.count("night", "7d"), v.count("plays", "7d")),
    "account.devices_7d": lambda v: v.distinct("devices", "7d", 16),
    "account.reports_made_7d": lambda v: v.count("reports_made", "7d"),
    "account.report_reliability": lambda v: (1 + v.total("right")) / (2 + v.total("right") + v.total("wrong")),
    "parent.children_1h": lambda v: v.count("children", "1h"),
    "parent.children_24h": lambda v: v.count("children", "24h"),
    "parent.accounts_24h": lambda v: v.distinct("accounts", "24h", 64),
    "parent.reports_24h": lambda v: v.count("reports", "24h"),
    "bucket.items_24h": lambda v: v.count("items", "24h"),
    "bucket.items_7d": lambda v: v.count("items", "7d"),
    "bucket.accounts_24h": lambda v: v.distinct("accounts", "24h", 64),
    "bucket.accounts_7d": lambda v: v.distinct("accounts", "7d", 64),
    "bucket.reports_7d": lambda v: v.count("reports", "7d"),
    "bucket.violations_90d": lambda v: v.count("violations", "90d"),
    "device.accounts_24h": lambda v: v.distinct("accounts", "24h", 64),
    "device.accounts_7d": lambda v: v.distinct("accounts", "7d", 64),
    "device.plays_24h": lambda v: v.count("plays", "24h"),
}
