"""Types of items and kinds of events, which have declared fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator

from leads.content import SEPARATOR
from leads.events import MAX_JUDGED_CHARS
from leads.messages import patterns
from leads.platform.fields import RESERVED, Field, FieldName, in_words
from leads.yaml_files import At, Strict

TypeName = Annotated[str, StringConstraints(pattern=patterns.NAME)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=patterns.ONE_LINE)]
Fields = Mapping[FieldName, Field]

_MAX_FIELDS = 100
# Options that say what reviewers see of an item, and what policies judge in it.
_OF_ITEMS = ("judged", "shown", "blur")


class Fielded(Strict):
    """What has declared fields."""

    title: Title
    fields: Annotated[Fields, Described(max_length=_MAX_FIELDS)] = Described(default_factory=dict)
    unknown_fields: Literal["refuse", "keep"] = Described(
        default="refuse", description="What happens to fields that aren't declared: `keep` stores and ignores them."
    )

    @model_validator(mode="after")
    def _names_are_free(self) -> Fielded:
        for name in self.fields:
            if name in RESERVED:
                raise At(("fields", name), "can't be the name of a field: every item and event has it already")
        return self

    def title_of(self, field: str) -> str:
        """What reviewers read above a field's value."""
        return self.fields[field].title or in_words(field)


class ItemType(Fielded):
    """A type of item, or `account`."""

    parents: tuple[TypeName, ...] | None = Described(
        default=None, description="The types that it may be posted under; by default, any."
    )

    @model_validator(mode="after")
    def _texts_are_short_enough(self) -> ItemType:
        chars = sum(field.chars for field in self.judged.values()) + len(SEPARATOR) * max(0, len(self.judged) - 1)
        if chars > MAX_JUDGED_CHARS:
            raise At(
                ("fields",),
                f"the judged texts may have {chars:,} characters in all; set max_chars so that they have at most "
                f"{MAX_JUDGED_CHARS:,}",
            )
        return self

    @property
    def judged(self) -> dict[str, Field]:
        """The texts that policies judge, in the order in which they are read."""
        return {name: field for name, field in self.fields.items() if field.judged}


class EventKind(Fielded):
    """A kind of event beside items, signals, plays and decisions: a follow, an upload, a payout, a log-in."""

    about: tuple[TypeName, ...] | None = Described(
        default=None, min_length=1, description="The types of what it is about; by default, any."
    )
    by: Literal["required", "optional"] = Described(
        default="required", description="Whether an event must say which account did it."
    )

    @model_validator(mode="after")
    def _nothing_is_judged(self) -> EventKind:
        for name, field in self.fields.items():
            given = [option for option in _OF_ITEMS if option in field.model_fields_set]
            if given:
                raise At(("fields", name, given[0]), f"a field of an event has no {given[0]}; only fields of items do")
        return self
