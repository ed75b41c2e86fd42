"""Random platforms: features of every way over declared and built-in kinds of events."""

from __future__ import annotations

import random
from typing import Any

from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.declaration import Platform
from leads.platform.features import FeatureDeclaration
from leads.platform.kinds import BUILT_IN_KINDS

WINDOWS = ("1h", "24h", "7d", "90d", "ever")
_ROWS = {
    "item": ("about",),
    "account": ("who", "creator", "about"),
    "parent": ("parent", "about"),
    "bucket": ("text",),
    "device": ("device",),
}
_FIELDS = {
    "genre": {"kind": "category"},
    "bpm": {"kind": "number"},
    "explicit": {"kind": "flag"},
}
_EVENTS: dict[str, dict[str, dict[str, str]]] = {
    "tip": {"amount": {"kind": "number"}, "good": {"kind": "flag"}, "currency": {"kind": "category"}},
    "login": {"ip": {"kind": "category"}, "port": {"kind": "number"}, "fresh": {"kind": "flag"}},
    "gift": {"amount": {"kind": "number"}, "currency": {"kind": "category"}, "site": {"kind": "url"}},
}
_KEYS = [
    {"ip": {"title": "Address", "from": "login.ip"}},
    {"currency": {"title": "Currency", "from": "tip.currency", "of": "item"}},
    {"port": {"title": "Port", "from": "login.port", "of": "item"}, "fresh": {"title": "New", "from": "login.fresh"}},
    {"site": {"title": "Site", "from": "gift.site"}},
]
_OF_KIND = ("count", "count", "share", "surge", "velocity", "likelihood")
_OF_NUMBER = ("sum", "mean", "max", "max", "last")
# Events of these kinds may be taken back, which only what is counted can be.
_TAKEN_BACK = ("verdict", "report_verdict")
_NUMBERS = ("0", "1", "2.5", "30", "-3", "100", "1e6", "12")
# Ways whose values are exact, so that what is computed from them can be compared closely.
_EXACT = ("count", "distinct", "max", "last", "age", "field")


def platform(rng: random.Random, features: int) -> Platform:
    """A random platform."""
    keys: dict[str, Any] = {}
    for one in rng.sample(_KEYS, rng.randint(0, 3)):
        keys |= one
    return platform_with(_Features(rng, keys).made(features), keys)


def platform_with(features: dict[str, dict[str, Any]], keys: dict[str, Any]) -> Platform:
    """The platform with these features and keys."""
    own = {"text": {"kind": "text", "judged": True}, **_FIELDS}
    return Platform.model_validate(
        {
            "version": 1,
            "types": {
                "account": {"title": "Account", "fields": {"bpm": {"kind": "number"}, "bio": {"kind": "text"}}},
                "track": {"title": "Track", "fields": own},
                "comment": {"title": "Comment", "fields": own},
            },
            "events": {name: {"title": name, "by": "optional", "fields": fields} for name, fields in _EVENTS.items()},
            "keys": keys,
            "features": features,
        }
    )


class _Features:
    def __init__(self, rng: random.Random, keys: dict[str, Any]) -> None:
        self.rng, self.keys = rng, keys
        self.found: dict[str, dict[str, Any]] = {}

    def made(self, n: int) -> dict[str, dict[str, Any]]:
        while len(self.found) < n:
            view = self.rng.choice([*_ROWS, *self.keys, *self.keys])
            name = f"{view}.made_{len(self.found)}"
            one = self.computed(view) if self.rng.random() < 0.25 else self.aggregation(view)
            if one is not None:
                self.found[name] = {**one, "meaning": name}
        return self.found

    def computed(self, view: str) -> dict[str, Any] | None:
        rng = self.rng
        way = rng.choice(["ratio", "formula", "formula", "field", "age"])
        if way == "age":
            return {"age": "hours"}
        if way == "field":
            return self.own(view)
        # A quotient of a text's values is computed for each of its buckets, so only ratios of these are compared.
        counted = ("count", "distinct", "age")
        names = [
            name
            for name, one in (*BUILT_IN_FEATURES.items(), *self.declared().items())
            if (one.way in _EXACT and view != "bucket") or (name.startswith("bucket.") and one.way in counted)
        ]
        if way == "ratio":
            more = {"times": rng.choice([1, 100, -2.5])} if rng.random() < 0.5 else {}
            more |= {"plus": rng.choice([0, 1, 0.5])} if rng.random() < 0.5 else {}
            return {"ratio": rng.sample(names, 2), **more}
        a, b, c = rng.choices(names, k=3)
        forms = [f"{a} - {b}", f"log1p({a}) * 2", f"min({a}, {b}) + max({c}, 1)", f"abs(-{a} - {b} * {c})"]
        if view != "bucket":
            forms += [
                f"{a} / ({b} + {c})",
                f"100 * ({a} + 1) / ({b} + 2)",
                f"({a} - {b}) / ({c} - 1)",
                f"{a} / {b} / 7",
            ]
        return {"formula": rng.choice(forms)}

    def declared(self) -> dict[str, FeatureDeclaration]:
        return {name: FeatureDeclaration.model_validate(one) for name, one in self.found.items()}

    def own(self, view: str) -> dict[str, Any] | None:
        if view == "account":
            return {"field": self.rng.choice(["bpm", "bio"])}
        if view != "item":
            return None
        field = self.rng.choice([*_FIELDS, "text"])
        return {"field": field, "equals": self.rng.choice(["pop", "news"])} if field == "genre" else {"field": field}

    def aggregation(self, view: str) -> dict[str, Any] | None:
        rng = self.rng
        built_in = rng.random() < 0.4 and view not in self.keys
        kind = rng.choice([*BUILT_IN_KINDS] if built_in else [*_EVENTS])
        offered = BUILT_IN_KINDS[kind].by if built_in else ("about", "who", "creator", "parent", "text")
        fields = dict(BUILT_IN_KINDS[kind].fields) if built_in else {f: x["kind"] for f, x in _EVENTS[kind].items()}
        fields |= {} if built_in else {"hour": "number"}
        elements = BUILT_IN_KINDS[kind].elements if built_in else ("who", "about")
        ways = [by for by in _ROWS.get(view, ()) if by in offered]
        if view in self.keys:
            ways = [field for field in fields if field in self.keys]
        if not ways:
            return None
        by = rng.choice(ways)
        if kind == "user_report" and by != "about":
            fields.pop("weight")
        one: dict[str, Any] = {"by": by}
        # Without `by`, it is the row's first way, or the field that gave the key. It isn't left out for the account of
        # events that may have none.
        if view in _ROWS and by == ways[0] and rng.random() < 0.5 and (built_in or view != "account"):
            one = {}
        where = self.where({f: x for f, x in fields.items() if x in ("number", "flag", "category")})
        way, source = self.way(kind, fields, elements)
        if way in ("share", "likelihood") and where is None:
            way = "count"
        one[way] = kind if source is None else f"{kind}.{source}"
        if where is not None:
            one["where"] = where
        if way != "surge":
            one["window"] = rng.choice(WINDOWS[1:4] if way == "velocity" else WINDOWS)
        if way == "max" and one["window"] == "ever" and rng.random() < 0.5:
            one["at_least"] = 0
        if way == "distinct" and rng.random() < 0.5:
            one["slots"] = rng.choice([16, 128])
        return one

    def way(self, kind: str, fields: dict[str, Any], elements: tuple[str, ...]) -> tuple[str, str | None]:
        rng = self.rng
        numbers = [field for field, holds in fields.items() if holds in ("number", "flag")]
        ways: list[tuple[str, str | None]] = [(rng.choice(_OF_KIND), None)]
        if numbers:
            way = rng.choice(_OF_NUMBER)
            ways.append((way if kind not in _TAKEN_BACK else "sum", rng.choice(numbers)))
        if fields or elements:
            way = rng.choice(["distinct", "entropy"])
            ways.append((way if kind not in _TAKEN_BACK else "entropy", rng.choice([*fields, *elements])))
        return rng.choice(ways)

    def where(self, fields: dict[str, Any]) -> str | None:
        if not fields or self.rng.random() < 0.4:
            return None
        return condition(self.rng, fields, self.rng.choice([0, 0, 1, 2]))


def condition(rng: random.Random, fields: dict[str, Any], depth: int) -> str:
    """A random filter over fields of these kinds."""
    if depth:
        a, b = condition(rng, fields, depth - 1), condition(rng, fields, rng.randrange(depth))
        return rng.choice([f"({a}) and ({b})", f"({a}) or ({b})", f"not ({a})", f"{a} and not ({b})"])
    field = rng.choice(list(fields))
    if fields[field] == "flag":
        return rng.choice([field, f"not {field}", f"{field} == True", f"{field} != True", f"{field} in [False]"])
    if fields[field] == "category":
        return rng.choice(
            [f'{field} == "usd"', f'{field} != "1.1"', f'{field} in ["usd", "2.2"]', f'{field} not in ["eur"]']
        )
    low, high = rng.sample(_NUMBERS, 2)
    return rng.choice(
        [f"{field} {op} {low}" for op in ("<", "<=", ">", ">=", "==", "!=")]
        + [f"{low} <= {field} < {high}", f"{low} > {field}", f"{field} in [{low}, {high}]"]
        + [f"{field} not in ({low}, {high})"]
    )
