"""Compiling declarations: where cells are, which formulas are quotients, and when a definition is another one."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from features.contract import Column, FeatureContract
from features.declared.builtin import BUILTIN, LAYOUTS
from features.declared.compile import Declarations, compile_features
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import evaluate
from features.formulas import Age, Computed, Count, Distinct, Quotient, Total
from features.layout import FIRST_NUMBER, LARGEST, Layout
from features.rows import is_possible, split
from leads import clock
from leads.events import Event, Happened, LoggedEvent, Subject, SubjectRef
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.features import FeatureDeclaration, KeyDeclaration
from tests.support.features.folding import fold, packed_of

AS_OF = clock.from_text("2026-03-01T12:00:00Z")
_KEYS = {"ip": {"title": "Address", "from": "login.ip"}}
# Of the places of all cells of the built-in layouts. Rows in stores and segments have them.
_PLACES = "368252a0dbf1"


def compiled(keys: dict[str, Any] = _KEYS, **features: dict[str, Any]) -> FeatureSet:
    """The built-in features, and these: `item__x` is item.x."""
    declared = {
        name.replace("__", "."): FeatureDeclaration.model_validate({"meaning": name, **one})
        for name, one in features.items()
    }
    made = {name: KeyDeclaration.model_validate(key) for name, key in keys.items()}
    return compile_features(Declarations({**BUILT_IN_FEATURES, **declared}, made, {"login.size": "MB"}), 7)


def of(formula: str, view: str = "item", **more: dict[str, Any]) -> object:
    return compiled(**{f"{view}__made": {"formula": formula}}, **more).by_name[f"{view}.made"].formula


def places(layouts: tuple[Layout, ...]) -> str:
    said = [
        (
            layout.view,
            layout.links,
            layout.width,
            list(layout.places.cells.items()),
            [(name, ring.start, list(ring.members.items())) for name, ring in layout.places.windows.items()],
            list(layout.places.sketches.items()),
            list(layout.places.latest.items()),
        )
        for layout in layouts
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def test_built_in_layouts_are_those_of_stored_rows() -> None:
    # When this fails because a cell moved or holds something else, raise FIRST_NUMBER and change _FIRST_FINGERPRINT:
    # stored rows have to be derived again. When only the names of cells changed, change _PLACES.
    assert (places(LAYOUTS), FIRST_NUMBER, BUILTIN.fingerprint) == (_PLACES, 2, "a0bd9b645318")


def test_built_in_features_read_the_same_cells_in_every_generation() -> None:
    more = compiled(
        item__a={"distinct": "play.who", "window": "24h", "slots": 256},
        account__b={"count": "play", "window": "1h"},
        item__c={"max": "play.seconds", "window": "7d"},
    )
    for feature in BUILTIN.stored:
        assert more.by_name[feature.name].formula == feature.formula
    assert dict(more.layout_of["item"].sketches) | dict(BUILTIN.layout_of["item"].sketches) == dict(
        more.layout_of["item"].sketches
    )


def test_layouts_follow_the_order_of_declarations() -> None:
    a, b = {"count": "login", "window": "7d"}, {"count": "login", "where": "failed", "window": "7d"}
    needs_b = {"formula": "account.b + account.a"}
    first, second = compiled(account__a=a, account__b=b), compiled(account__b=b, account__a=a)
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == compiled(account__c=needs_b, account__a=a, account__b=b).fingerprint
    assert first.fingerprint == compiled(account__a=a, account__b=b).fingerprint


@pytest.mark.parametrize(
    ("formula", "quotient"),
    [
        ("item.plays_1h / item.plays_24h", {}),
        ("2 * item.plays_1h / item.plays_24h", {"times": 2.0}),
        ("item.plays_1h * 2 / item.plays_24h", {"times": 2.0}),
        ("(item.plays_1h + 1) / (2 + item.plays_24h)", {"part_plus": 1.0, "whole_plus": 2.0}),
        ("3 * (item.plays_1h + 1) / (item.plays_24h + 0.5 + 1)", {"times": 3.0, "part_plus": 1.0, "whole_plus": 1.5}),
    ],
)
def test_one_quotient_of_counts_is_recognised(formula: str, quotient: dict[str, float]) -> None:
    assert of(formula) == Quotient(Count("play by about", "1h"), Count("play by about", "24h"), **quotient)


def test_quotients_of_all_that_is_never_negative_are_recognised() -> None:
    listeners = Distinct("64 different play.who by about", "24h")
    assert of("item.listeners_24h / item.age_h") == Quotient(listeners, Age())
    right, wrong = "account.strikes", "account.cleared"
    found = of(f"{right} / ({right} + 1 + {wrong})", "account")
    strikes = Total("verdict by creator where violating")
    cleared = Total("verdict by creator where not violating")
    assert found == Quotient(strikes, strikes, whole_plus=1.0, other=cleared)


@pytest.mark.parametrize(
    "formula",
    [
        "item.plays_1h - item.plays_24h",
        "item.plays_1h / account.plays_24h",
        "account.plays_1h / account.plays_24h",
        "item.plays_1h / (item.plays_24h - 1)",
        "item.plays_1h / item.classifier_score",
        "item.plays_1h / item.short_share_24h",
        "(item.plays_1h + item.plays_7d) / item.plays_24h",
        "item.plays_1h / (item.plays_24h + item.plays_7d + item.reports_1h)",
        "item.plays_1h * item.plays_7d / item.plays_24h",
        "100 * (item.plays_1h / item.plays_24h)",
        "1 / item.plays_24h",
        "item.plays_24h / 2",
        "-1 * item.plays_1h / item.plays_24h",
    ],
)
def test_other_formulas_are_computed(formula: str) -> None:
    assert isinstance(of(formula), Computed)


def test_a_definition_changes_with_how_the_feature_is_computed() -> None:
    base = {"count": "login", "window": "7d"}
    others = [
        {"count": "login", "window": "24h"},
        {"count": "login", "window": "7d", "by": "creator"},
        {"count": "login", "window": "7d", "where": "failed"},
        {"count": "tip", "window": "7d"},
        {"distinct": "login.ip", "window": "7d"},
        {"distinct": "login.ip", "window": "7d", "slots": 128},
    ]
    found = [compiled(account__x=one).by_name["account.x"].definition for one in (base, *others)]
    assert len({*found}) == len(found)
    assert all(len(one) == 12 for one in found)


def test_a_definition_is_not_about_words_or_other_features() -> None:
    base = {"count": "login", "window": "7d"}
    definition = compiled(account__x=base).by_name["account.x"].definition
    for more in ({"meaning": "other words"}, {"unit": "log-ins"}, {"default": False}):
        assert compiled(account__x={**base, **more}).by_name["account.x"].definition == definition
    more = compiled(account__w={"age": "hours"}, account__x=base, keys={})
    assert more.by_name["account.x"].definition == definition


def test_a_definition_changes_with_the_features_that_it_needs() -> None:
    def definition(keys: dict[str, Any] = _KEYS, **deepest: Any) -> str:
        made = compiled(
            keys,
            account__x={"formula": "account.y * 2"},
            account__y={"ratio": ["ip.z", "account.plays_7d"]},
            ip__z={"count": "login", "by": "ip", "window": "7d", **deepest},
        )
        return made.by_name["account.x"].definition

    assert definition() == definition(meaning="other words", unit="log-ins")
    assert definition() != definition(window="24h")
    assert definition() != definition(where="failed")
    # The key by which it is counted.
    assert definition() != definition({"ip": {"title": "Address", "from": "tip.ip"}})
    assert definition() != definition({"ip": {"title": "Address", "from": "login.ip", "of": "item"}})
    assert definition() == definition({"ip": {"title": "Other", "from": "login.ip"}})


def test_built_in_features_have_no_definition() -> None:
    assert {feature.definition for feature in BUILTIN.stored} == {""}


def test_units_follow_from_the_way_or_the_field() -> None:
    made = compiled(
        account__a={"sum": "login.size", "window": "7d"},
        account__b={"count": "login", "window": "7d"},
        account__c={"max": "login.size", "window": "7d", "unit": "GB"},
    )
    assert [made.by_name[f"account.{name}"].unit for name in "abc"] == ["MB", "count", "GB"]


def test_formulas_that_repeat_each_other_are_compiled_in_no_time() -> None:
    names = ["item.plays_7d", *(f"item.x{i}" for i in range(60))]
    repeated = {name.replace(".", "__"): {"formula": f"{before} + {before}"} for before, name in pairwise(names)}
    made = compiled(**repeated)
    assert list(made.formulas_of([names[-1]])) == names[1:]
    assert made.reached(names[-1]) == {*names}


def happened(number: int, at: int, fields: dict[str, Any]) -> LoggedEvent:
    body = Happened(SubjectRef("account", "a1"), "login", "a1", fields)
    return LoggedEvent(number, at, Event(f"e{number}", at, body))


def value(made: FeatureSet, name: str, events: list[LoggedEvent]) -> float:
    subject = Subject("account", "a1")
    packed = packed_of(fold(events, features=made), [subject], made)
    contract = FeatureContract("test", (Column(name),), "")
    return float(evaluate(contract, packed, np.array([AS_OF]), [None], made).matrix[0, 0])


def test_what_is_computed_from_large_values_is_limited() -> None:
    made = compiled(
        account__top={"max": "login.size", "window": "ever"},
        account__floor={"max": "login.size", "window": "ever", "at_least": 0},
        account__cube={"formula": "account.top * account.top * account.top"},
    )
    events = [happened(1, AS_OF, {"size": 1e300})]
    for name in ("account.top", "account.floor", "account.cube"):
        assert value(made, name, events) == np.float32(LARGEST)


def test_a_row_with_a_large_maximum_is_not_damaged() -> None:
    made = compiled(account__floor={"max": "login.size", "window": "ever", "at_least": 0})
    layout = made.layout_of["account"]
    rows = fold([happened(1, AS_OF, {"size": 1e12})], features=made)["account"].rows
    assert all(parts is not None and is_possible(layout, parts) for parts in split(layout, rows))


def test_adding_a_feature_does_not_change_an_estimate() -> None:
    ips = [happened(i, AS_OF + i, {"ip": f"ip{i}"}) for i in range(1, 60)]
    alone = compiled(account__ips={"distinct": "login.ip", "window": "ever", "slots": 16})
    both = compiled(
        account__ips={"distinct": "login.ip", "window": "ever", "slots": 16},
        account__more={"distinct": "login.ip", "window": "ever", "slots": 256},
    )
    assert value(both, "account.ips", ips) == value(alone, "account.ips", ips)
    assert value(both, "account.more", ips) == pytest.approx(59, abs=6)


def test_a_long_text_can_be_a_key() -> None:
    made = compiled(ip__logins={"count": "login", "window": "ever"})
    events = [happened(1, AS_OF, {"ip": "é" * 50_000}), happened(2, AS_OF + 1, {"ip": "é" * 50_000})]
    assert value(made, "ip.logins", events) == 2
    assert value(made, "ip.logins", [*events, happened(3, AS_OF + 2, {"ip": "é" * 49_999})]) == 1


def test_numbers_are_the_same_key_however_they_are_written() -> None:
    made = compiled(
        {"port": {"title": "Port", "from": "login.port"}}, port__logins={"count": "login", "window": "ever"}
    )
    assert value(made, "port.logins", [happened(i, AS_OF + i, {"port": port}) for i, port in ((1, 80), (2, 80.0))]) == 2


def test_a_default_that_is_written_out_is_the_same_definition() -> None:
    short = {"count": "play", "window": "7d", "meaning": "plays"}
    found = [
        compile_features(
            Declarations(
                {**BUILT_IN_FEATURES, "account.x": FeatureDeclaration.model_validate({**short, **more})}, {}, {}
            ),
            3,
        ).by_name["account.x"]
        for more in ({}, {"by": "who"}, {"by": "about", "count": "user_report"})
    ]
    assert found[0].definition == found[1].definition != found[2].definition
