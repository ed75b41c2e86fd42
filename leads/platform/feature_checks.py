"""Checks that declared features can be computed from what the platform declares."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from leads.events import ACCOUNT
from leads.messages.patterns import LANGUAGE
from leads.platform import filters
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.countable import check_can_count
from leads.platform.features import FeatureDeclaration, FeatureDeclarations, KeyDeclaration, in_order
from leads.platform.fielded import EventKind, ItemType
from leads.platform.fields import Kind
from leads.platform.kinds import (
    BUILT_IN_KINDS,
    DECLARED_BY,
    DECLARED_ELEMENTS,
    KEEPING,
    OF_EVERY_EVENT,
    ONLY_ABOUT,
    ROWS,
    TAKEN_BACK,
    default_by,
)
from leads.yaml_files import At, raise_any

# Names that mean something else as the first part of a column's name, or where rows are stored, read and folded.
_STORED = ("subject", "packed", "bucket_0", "bucket_1", "routed_item", "reporter", "position")
_RESERVED = frozenset((*ROWS, "text", "view", *_STORED))
_NUMBERS, _ELEMENTS = (
    frozenset(("number", "flag")),
    frozenset(("number", "flag", "category", "language", "text", "url")),
)


class Offered(NamedTuple):
    """What features can be declared over: the declared kinds of events, and the types of items."""

    events: Mapping[str, EventKind]
    types: Mapping[str, ItemType]


def check_features(features: FeatureDeclarations, keys: Mapping[str, KeyDeclaration], offered: Offered) -> None:
    """Raises `At` or `Several`: what is wrong with each key and each feature."""
    errors: list[At] = []
    for name, key in keys.items():
        try:
            _check_key(name, key, offered)
        except At as error:
            errors.append(error)
    for name, one in features.items():
        try:
            _check_feature(name, one, features, keys, offered)
        except At as error:
            errors.append(error)
    raise_any(errors)
    try:
        in_order({name: one.needs for name, one in features.items()})
    except graphlib.CycleError as error:
        circle = error.args[1]
        raise At(("features", circle[0]), f"needs itself: {' → '.join(reversed(circle))}") from None


def _check_key(name: str, key: KeyDeclaration, offered: Offered) -> None:
    at = ("keys", name)
    if name.startswith("sqlite"):
        raise At(at, f"{name} can't be the name of a key: SQLite reserves such names")
    if name in _RESERVED:
        raise At(at, f"{name} can't be the name of a key: every platform has it already")
    kind, _, field = key.source.partition(".")
    if kind not in offered.events:
        raise At((*at, "from"), f"{kind} isn't a declared kind of event; declared: {_listed(offered.events)}")
    fields = _kinds(offered.events[kind])
    if fields.get(field) not in _ELEMENTS:
        raise At((*at, "from"), f"{kind} has no field {field} that can be a key; its fields: {_listed(fields)}")
    if field in (*DECLARED_BY, *OF_EVERY_EVENT):
        raise At((*at, "from"), f"{field} can't be a key: every event has something of this name; rename the field")


def _check_feature(
    name: str,
    one: FeatureDeclaration,
    features: FeatureDeclarations,
    keys: Mapping[str, KeyDeclaration],
    offered: Offered,
) -> None:
    view, at = name.partition(".")[0], ("features", name)
    if name in BUILT_IN_FEATURES:
        raise At(at, "every platform has a feature of this name already; choose another name")
    if view not in ROWS and view not in keys:
        raise At(at, f"{view} isn't a row that features are read from; these are: {_listed((*ROWS, *keys))}")
    for needed in one.needs:
        if needed not in features and needed not in BUILT_IN_FEATURES:
            raise At((*at, one.way), f"there is no feature {needed}")
    if one.field is not None:
        _check_own(view, one, at, offered)
    if one.kind is not None:
        _check_aggregation(view, one, at, keys, offered)


def _check_own(view: str, one: FeatureDeclaration, at: tuple[str, ...], offered: Offered) -> None:
    if view not in ("item", "account"):
        raise At((*at, "field"), "only items and accounts have fields of their own, so name it item.… or account.…")
    field = one.field or ""
    types = {name: type_ for name, type_ in offered.types.items() if (name == ACCOUNT) == (view == "account")}
    fields = {name: type_.fields[field] for name, type_ in types.items() if field in type_.fields}
    kinds = {name: each.kind for name, each in fields.items()}
    if not kinds:
        raise At((*at, "field"), f"no type has the field {one.field}")
    if len(set(kinds.values())) > 1:
        said = ", ".join(f"{kind} in {name}" for name, kind in kinds.items())
        raise At((*at, "field"), f"{one.field} isn't the same kind of field in all types: {said}")
    kind = next(iter(kinds.values()))
    if kind == "time":
        raise At((*at, "field"), f"{one.field} is a time, which can't be a feature")
    if kind in ("category", "language") and one.equals is None:
        raise At((*at, "field"), f"{one.field} is a {kind}; say with `equals` which value the feature is about")
    if one.equals is not None and kind not in ("category", "language"):
        raise At((*at, "equals"), f"{one.field} is a {kind}, not a category or language")
    if one.equals is not None:
        _check_equals(one.equals, field, kind, [each.values for each in fields.values()], at)


def _check_equals(
    value: str, field: str, kind: Kind, only: Sequence[tuple[str, ...] | None], at: tuple[str, ...]
) -> None:
    """Check that a field can have the value.

    Args:
        only: for each type that has the field, its only values; None if it may have any.
    """
    if kind == "language" and not re.match(LANGUAGE, value):
        raise At((*at, "equals"), f"{value} isn't a language tag, such as en or pt-BR, so {field} never has it")
    allowed = dict.fromkeys(each for values in only for each in values or ())
    if kind == "category" and None not in only and value not in allowed:
        raise At((*at, "equals"), f"{field} is never {value}; its values: {_listed(allowed)}")


def _check_aggregation(
    view: str, one: FeatureDeclaration, at: tuple[str, ...], keys: Mapping[str, KeyDeclaration], offered: Offered
) -> None:
    kind = one.kind or ""
    built_in = BUILT_IN_KINDS.get(kind)
    if built_in is None and kind not in offered.events:
        declared = (*BUILT_IN_KINDS, *offered.events)
        raise At((*at, one.way), f"{kind} isn't a kind of event; these are: {_listed(declared)}")
    fields: Mapping[str, Kind] = built_in.fields if built_in else {**_kinds(offered.events[kind]), "hour": "number"}
    elements = built_in.elements if built_in else DECLARED_ELEMENTS
    _check_by(view, one, at, built_in.by if built_in else DECLARED_BY, keys, fields)
    if kind in TAKEN_BACK and one.way in KEEPING:
        raise At((*at, one.way), f"{one.way} can't take back a verdict that is overturned; use count, share or sum")
    if built_in is not None and (one.by or default_by(view, kind)) != "about":
        fields = {field: holds for field, holds in fields.items() if (kind, field) not in ONLY_ABOUT}
    if built_in is None:
        _check_not_hidden(one, at, offered.events[kind].fields)
    if one.source is not None:
        spread = one.way in ("distinct", "entropy")
        allowed = {field for field, holds in fields.items() if holds in (_ELEMENTS if spread else _NUMBERS)}
        allowed |= set(elements) if spread else set()
        if one.source not in allowed:
            what = "a field of it" if spread else "a number"
            raise At((*at, one.way), f"{kind} has no {one.source} that is {what}; it has: {_listed(sorted(allowed))}")
    if one.where is not None:
        own = {} if built_in else offered.events[kind].fields
        only = {field: each.values for field, each in own.items() if each.values}
        try:
            filters.check(filters.parse(one.where), fields, only)
        except ValueError as error:
            raise At((*at, "where"), str(error)) from None
    if built_in is None and view not in keys:
        check_can_count(view, one, at, offered.events[kind], offered.types)


def _check_not_hidden(one: FeatureDeclaration, at: tuple[str, ...], declared: Iterable[str]) -> None:
    compared = {part.field for part in filters.compares(filters.parse(one.where))} if one.where is not None else set()
    for name in OF_EVERY_EVENT:
        if name in declared and name in {one.source, *compared}:
            raise At(at, f"every event has {name}, which hides the field {name} of {one.kind}; rename the field")


def _check_by(
    view: str,
    one: FeatureDeclaration,
    at: tuple[str, ...],
    offered: Iterable[str],
    keys: Mapping[str, KeyDeclaration],
    fields: Mapping[str, Kind],
) -> None:
    kind = one.kind or ""
    if view in keys:
        source, _, field = keys[view].source.partition(".")
        by = one.by or (field if source == kind else view)
        if kind in BUILT_IN_KINDS or by in DECLARED_BY or fields.get(by) not in _ELEMENTS:
            raise At((*at, "by"), f"{kind} has no field {by} to count by; name one with `by`: {_listed(fields)}")
        return
    allowed = [by for by in ROWS[view] if by in offered]
    if (one.by or default_by(view, kind)) not in allowed:
        hint = f"use one of: {_listed(allowed)}" if allowed else f"no {kind} counts in rows of {view}"
        raise At((*at, "by") if one.by else at, f"{kind} can't be counted by {one.by or view} here; {hint}")


def _kinds(kind: EventKind) -> dict[str, Kind]:
    """What each field of a kind of event holds."""
    return {name: field.kind for name, field in kind.fields.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
