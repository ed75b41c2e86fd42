"""`platform.yaml`: the types of items and the kinds of events that a platform has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator

from leads.content import SEPARATOR
from leads.errors import InvalidInput
from leads.events import ACCOUNT, MAX_JUDGED_CHARS
from leads.language.stated import LanguageFields
from leads.messages import patterns
from leads.platform.feature_checks import Offered, check_features
from leads.platform.features import FeatureDeclarations, KeyDeclaration
from leads.platform.fields import RESERVED, Field, FieldName, in_words
from leads.yaml_files import Strict, read_yaml

TypeName = Annotated[str, StringConstraints(pattern=patterns.NAME)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=patterns.ONE_LINE)]
Fields = Mapping[FieldName, Field]

_MAX_TYPES, _MAX_KINDS, _MAX_FIELDS = 100, 100, 100
_MAX_KEYS, _MAX_FEATURES = 20, 500
# Options that say what reviewers see of an item, and what policies judge in it.
_OF_ITEMS = ("judged", "shown", "blur")
# Kinds of events that every platform has, as lines of a file name them.
BUILT_IN = frozenset(("item", "play", "decision", "user_report", "trusted_flagger", "hash_match", "classifier"))


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
                raise ValueError(f"{name} can't be the name of a field: every item and event has it already")
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
            raise ValueError(
                f"the judged texts may have {chars:,} characters in all; set max_chars so that they have at most "
                f"{MAX_JUDGED_CHARS:,}"
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
                raise ValueError(f"{name}: a field of an event has no {given[0]}; only fields of items do")
        return self


class Platform(Strict):
    """The contents of `platform.yaml`.

    Args:
        keys: by what features count beside items, accounts and what is built in.
        features: beside the built-in ones.
    """

    version: Literal[1]
    types: Annotated[Mapping[TypeName, ItemType], Described(min_length=1, max_length=_MAX_TYPES)]
    events: Annotated[Mapping[TypeName, EventKind], Described(max_length=_MAX_KINDS)] = Described(default_factory=dict)
    keys: Annotated[Mapping[TypeName, KeyDeclaration], Described(max_length=_MAX_KEYS)] = Described(
        default_factory=dict
    )
    features: Annotated[FeatureDeclarations, Described(max_length=_MAX_FEATURES)] = Described(default_factory=dict)

    @model_validator(mode="after")
    def _types_are_known(self) -> Platform:
        for name, type_ in self.types.items():
            unknown = [parent for parent in type_.parents or () if parent not in self.types]
            if unknown:
                raise ValueError(f"{name} has the parent {unknown[0]}, which isn't a type")
        if ACCOUNT in self.types and self.types[ACCOUNT].parents:
            raise ValueError("an account has no parent")
        return self

    @model_validator(mode="after")
    def _kinds_are_new_and_about_known_types(self) -> Platform:
        for name, kind in self.events.items():
            if name in BUILT_IN:
                raise ValueError(f"{name} can't be the name of a kind of event: every platform has it already")
            unknown = [about for about in kind.about or () if about not in self.types]
            if unknown:
                raise ValueError(f"{name} is about {unknown[0]}, which isn't a type")
        return self

    @model_validator(mode="after")
    def _features_can_be_computed(self) -> Platform:
        fields = {name: {field: one.kind for field, one in kind.fields.items()} for name, kind in self.events.items()}
        own = {name: {field: one.kind for field, one in type_.fields.items()} for name, type_ in self.types.items()}
        check_features(self.features, self.keys, Offered(fields, own))
        return self

    @property
    def language_fields(self) -> LanguageFields:
        """The fields that state the language of an item, for each type that has any."""
        found = {
            name: tuple(field for field, one in type_.fields.items() if one.kind == "language")
            for name, type_ in self.types.items()
        }
        return {name: fields for name, fields in found.items() if fields}

    def type_of(self, type_id: str, *, field: str) -> ItemType:
        """Raises InvalidInput with `field` and the declared types."""
        if type_id not in self.types:
            raise InvalidInput(
                f"The type {type_id!r} isn't declared.",
                field=field,
                remedy=f"Types in platform.yaml: {', '.join(self.types)}.",
            )
        return self.types[type_id]

    def kind_of(self, kind: str, *, field: str) -> EventKind:
        """Raises InvalidInput with `field` and the declared kinds of events."""
        if kind not in self.events:
            declared = f"Kinds in platform.yaml: {', '.join(self.events)}." if self.events else "It declares none."
            raise InvalidInput(
                f"The kind of event {kind!r} isn't declared in platform.yaml.", field=field, remedy=declared
            )
        return self.events[kind]


def load_platform(path: Path) -> Platform:
    """Read and validate `platform.yaml`.

    Raises:
        ConfigurationError: with file, line, key and remedy, for unknown or duplicate keys, bad values and invalid YAML.
    """
    return read_yaml(path, Platform, remedy="Set LEADS_PLATFORM to a readable UTF-8 file.")
