"""Reads the values of a labelled row as people and tools write them. Errors show a value, but never a text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeVar

from leads.clock import Micros, from_datetime
from leads.errors import InvalidInput
from leads.text import present

VERDICTS = {
    **dict.fromkeys(("true", "t", "yes", "y", "violating"), True),
    **dict.fromkeys(("false", "f", "no", "n", "not_violating"), False),
}
# How tools write that there is no value.
_EMPTY = frozenset(("", "nan", "nat", "null", "none", "na", "n/a", "<na>"))
# 1 or 0, also as 1.0, 1.00 or, with a decimal comma, 1,0.
_ONE_OR_ZERO = re.compile(r"([01])(?:[.,]0*)?")
MAX_WEIGHT = 1e6
_VERDICT_REMEDY = (
    "Use 1 or 0, true or false, yes or no, t or f, y or n, violating or not_violating; leave it empty where there is "
    "no verdict."
)
_DATE, _SECONDS = re.compile(r"\d{8}"), re.compile(r"-?\d+(\.\d*)?")
_LAST_SECOND = 253_402_300_799
_SHOWN = 30

T = TypeVar("T")
V = TypeVar("V")
C = TypeVar("C")
Skipped = Literal["no text", "no label"]


class Columns(NamedTuple):
    """Names of a file's columns.

    Args:
        text: the texts.
        label: the verdicts.
        id: kept with the row and shown next to it in lists, to find it again in its source. Nothing is joined by it:
            it need not be unique, and it isn't the id of an item on the platform.
        time: ISO 8601 (UTC if it has no offset), a date, or seconds since 1970. The latest fifth is held out.
        author: who wrote the text; all texts of an author are in the same fold.
        weight: weight of the label in fitting, above 0; 1 if empty.
        target: the group that the text is about; each group is measured separately.
    """

    text: str
    label: str
    id: str | None = None
    time: str | None = None
    author: str | None = None
    weight: str | None = None
    target: str | None = None


class LabelledText(NamedTuple):
    """One row of a file that has text and label, which begins on `line`. `time` is in µs, None if it is empty."""

    text: str
    violating: bool
    time: Micros | None
    weight: float
    author: str | None
    target: str | None
    id: str | None
    line: int


class InvalidRow(InvalidInput):
    """A row with invalid values; it says what the first of `errors` says."""

    def __init__(self, errors: Sequence[InvalidInput]) -> None:
        first = errors[0]
        faults = [fault for error in errors for fault in error.faults]
        super().__init__(first.message, field=first.field, remedy=first.remedy, faults=faults)
        self.errors = tuple(errors)


def parse(fields: Mapping[str, str], columns: Columns, path: object, line: int) -> LabelledText | Skipped:
    """Parse the fields of a row, by role; a row without text or label gives the reason why it is skipped.

    Raises:
        InvalidRow: values are invalid; names file, line, column and value of each.
    """
    text = present(fields["text"])
    if text is None:
        return "no text"
    where = f"{path}:{line}"
    # Quotes remain around a value if a space comes before them, as in `some words, "1"`.
    fields = {
        role: value.strip(" \t\"'") if role in ("label", "time", "weight") else value.strip()
        for role, value in fields.items()
    }
    if _is_empty(fields["label"]):
        return "no label"
    errors: list[InvalidInput] = []
    violating = _noted(errors, _verdict, fields["label"], where, columns.label)
    time = _noted(errors, _time, fields.get("time"), where, columns.time)
    weight = _noted(errors, _weight, fields.get("weight"), where, columns.weight)
    if violating is None or weight is None or errors:
        raise InvalidRow(errors)
    return LabelledText(
        text,
        violating,
        time,
        weight,
        fields.get("author") or None,
        fields.get("target") or None,
        fields.get("id") or None,
        line,
    )


def _noted(errors: list[InvalidInput], of: Callable[[V, str, C], T], value: V, where: str, column: C) -> T | None:
    try:
        return of(value, where, column)
    except InvalidInput as error:
        errors.append(error)
        return None


def _is_empty(value: str | None) -> bool:
    return value is None or value.lower() in _EMPTY


def _invalid(value: str, where: str, column: str | None, problem: str, remedy: str) -> InvalidInput:
    shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return InvalidInput(f"Column {column!r}: {shown!r} is {problem}.", field=where, remedy=remedy)


def _verdict(value: str, where: str, column: str) -> bool:
    verdict, digit = VERDICTS.get(value.lower()), _ONE_OR_ZERO.fullmatch(value)
    if verdict is not None:
        return verdict
    if digit:
        return digit[1] == "1"
    share = _number(value.replace(",", "."))
    if share is not None and 0 <= share <= 1:
        raise _invalid(
            value,
            where,
            column,
            "a number between 0 and 1, so a score and not a verdict",
            "Convert scores to verdicts first, with a threshold you trust: 1 from there up, 0 below.",
        )
    raise _invalid(value, where, column, "not a verdict", _VERDICT_REMEDY)


def _weight(value: str | None, where: str, column: str | None) -> float:
    if value is None or _is_empty(value):
        return 1.0
    weight = _number(value)
    if weight is None or not 0 < weight <= MAX_WEIGHT:
        remedy = f"Use a number above 0, at most {MAX_WEIGHT:,.0f}, with a decimal point; leave it empty for 1."
        raise _invalid(value, where, column, "not a weight", remedy)
    return weight


def _time(value: str | None, where: str, column: str | None) -> Micros | None:
    """A time without offset is read as UTC. Only the order of times is used, so that is close enough."""
    if value is None or _is_empty(value):
        return None
    try:
        if _SECONDS.fullmatch(value) and not _DATE.fullmatch(value):
            seconds = float(value)
            if not 0 <= seconds <= _LAST_SECOND:
                raise ValueError("not seconds since 1970")
            return round(seconds * 1_000_000)
        at = datetime.fromisoformat(value)
        return from_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        remedy = (
            "Use ISO 8601, for example 2026-01-31T12:00:00Z or 2026-01-31, or seconds (not milliseconds) since 1970. "
            "A time without offset is read as UTC."
        )
        raise _invalid(value, where, column, "not a timestamp", remedy) from None


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
