"""The kinds of events that features can count, and what each offers: whose rows it counts in, and its fields.

Beside the events that are sent, there are derived ones: what an event means for another row, such as a verdict for the
creator of the item that was judged. The router (`features.fold.router`) emits both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from leads.platform.fields import Kind

# Whose row an event counts in: what it is about; who did it; the creator, the parent or the near-copies of the text of
# the item that it is about; the device.
By = Literal["about", "who", "creator", "parent", "text", "device"]


class CountedKind(NamedTuple):
    """A kind of event as features see it.

    Args:
        by: whose rows it can count in.
        fields: what filters can compare and what can be summed up, by name.
        elements: what can be counted as distinct, beside the fields.
        meaning: what one event is.
        exact: fields whose values are multiples of 1/64, so that sums of them are exact.
    """

    by: tuple[By, ...]
    fields: Mapping[str, Kind]
    elements: tuple[str, ...]
    meaning: str
    exact: tuple[str, ...] = ()


BUILT_IN_KINDS: Mapping[str, CountedKind] = {
    "item": CountedKind(("about",), {}, (), "an item was sent or edited, or an account's fields were"),
    "post": CountedKind(
        ("creator", "parent", "text"),
        {"link": "flag"},
        ("who", "parent", "text"),
        "an item appeared: by its account, under its parent, or with its text",
    ),
    "play": CountedKind(
        ("about", "who", "device"),
        {"seconds": "number", "hour": "number"},
        ("who", "about", "device"),
        "a play; `hour` is the hour of the day in UTC",
    ),
    "user_report": CountedKind(
        ("about", "who", "creator", "parent", "text"),
        {"weight": "number"},
        ("who",),
        "a user's report; `weight` is how likely a report by this user is right, known in the row of the item only",
        ("weight",),
    ),
    "trusted_flagger": CountedKind(("about",), {}, (), "a trusted flagger's notice"),
    "hash_match": CountedKind(("about",), {}, (), "a match with known violating content"),
    "flagged": CountedKind(("creator",), {}, (), "a notice or a match, once the item is known"),
    "classifier": CountedKind(("about",), {"score": "number"}, (), "the score of another classifier"),
    "decision": CountedKind(("about",), {}, (), "a decision"),
    "verdict": CountedKind(
        ("creator", "text"), {"violating": "flag"}, (), "a verdict that stands; one that is overturned no longer counts"
    ),
    "report_verdict": CountedKind(
        ("who",),
        {"confirmed": "flag"},
        (),
        "a verdict on an item that the user reported; `confirmed` if it was found violating",
    ),
}
# Kinds of events that are taken back when a verdict is overturned, and ways that can't take back what they have kept.
TAKEN_BACK = frozenset(("verdict", "report_verdict"))
KEEPING = frozenset(("distinct", "max", "last"))
# Fields that are known in the rows of what an event is about only.
ONLY_ABOUT = frozenset((("user_report", "weight"),))
# What every event has by these names; a declared field of the same name can't be counted.
OF_EVERY_EVENT = ("who", "about", "hour")
# What every declared event offers beside its fields.
DECLARED_BY: tuple[By, ...] = ("about", "who", "creator", "parent", "text")
DECLARED_ELEMENTS = ("who", "about")

# The rows that features can be read from, and whose rows they can be to an event; the first way is the default.
ROWS: Mapping[str, tuple[By, ...]] = {
    "item": ("about",),
    "account": ("who", "creator", "about"),
    "parent": ("parent", "about"),
    "bucket": ("text",),
    "device": ("device",),
}


def default_by(view: str, kind: str) -> str:
    """Whose row an event counts in if a feature of the view doesn't say."""
    offered = BUILT_IN_KINDS[kind].by if kind in BUILT_IN_KINDS else DECLARED_BY
    return next((by for by in ROWS[view] if by in offered), ROWS[view][0])
