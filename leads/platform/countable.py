"""Checks that events of a declared kind can count in a feature's rows: otherwise, it never has a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from leads.events import ACCOUNT
from leads.platform.features import FeatureDeclaration
from leads.platform.fielded import EventKind, ItemType
from leads.platform.kinds import default_by
from leads.yaml_files import At


def check_can_count(
    view: str, one: FeatureDeclaration, at: tuple[str, ...], kind: EventKind, types: Mapping[str, ItemType]
) -> None:
    """Raises `At` if no event of the kind counts in rows of the view, or if it isn't said which of two accounts' it is.

    Args:
        view: a built-in row.
        at: the keys that lead to the feature.
    """
    name = one.kind or ""
    by, place = one.by or default_by(view, name), (*at, "by") if one.by else (*at, one.way)
    # What the events may be about; an event without a subject is about the account.
    about = {each: types.get(each) for each in (kind.about or (*types, ACCOUNT))}
    if view == "account" and by == "about" and ACCOUNT not in about:
        raise At(
            place,
            f"{name} is never about an account, only about {_or(about)}; use by: who (the account that did it) or "
            "by: creator (that of the item that it is about), or add account to its about",
        )
    if view == "account" and one.by is None and kind.by == "optional":
        raise At(
            place,
            f"a {name} may have no account that did it (by: optional), so add by: about (the account that it is "
            "about), by: creator (that of the item that it is about), or by: who (the account that did it, if any)",
        )
    if view == "parent" and by == "about" and not _are_parents(about, types):
        raise At(place, f"{name} is only about {_or(about)}, and nothing is posted under that; use by: parent")
    if by == "parent" and all(_has_no_parent(each, type_) for each, type_ in about.items()):
        raise At(place, f"{name} is only about {_or(about)}, which is never posted under anything; use by: about")
    if by == "text" and not any(type_ is not None and type_.judged for type_ in about.values()):
        raise At(place, f"{name} is only about {_or(about)}, which has no judged text; count it in other rows")


def _are_parents(about: Iterable[str], types: Mapping[str, ItemType]) -> bool:
    """Whether an item can be posted under one of these."""
    items = [type_ for name, type_ in types.items() if name != ACCOUNT]
    return any(type_.parents is None or not set(type_.parents).isdisjoint(about) for type_ in items)


def _has_no_parent(name: str, type_: ItemType | None) -> bool:
    return name == ACCOUNT or (type_ is not None and type_.parents == ())


def _or(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
