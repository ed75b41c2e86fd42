"""`platform.yaml`: the types of items and the kinds of events that a platform has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field as Described
from pydantic import model_validator

from leads.errors import InvalidInput
from leads.events import ACCOUNT
from leads.language.stated import LanguageFields
from leads.platform.feature_checks import Offered, check_features
from leads.platform.features import FeatureDeclarations, KeyDeclaration
from leads.platform.fielded import EventKind, ItemType, TypeName
from leads.platform.fields import Kind
from leads.yaml_files import At, Strict, raise_any, read_yaml

_MAX_TYPES, _MAX_KINDS = 100, 100
_MAX_KEYS, _MAX_FEATURES = 20, 500
# Kinds of events that every platform has, as lines of a file name them.
BUILT_IN = frozenset(("item", "play", "decision", "user_report", "trusted_flagger", "hash_match", "classifier"))


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
        errors = [
            At(("types", name, "parents"), f"{parent} isn't a type; the types: {', '.join(self.types)}")
            for name, type_ in self.types.items()
            for parent in type_.parents or ()
            if parent not in self.types
        ]
        if ACCOUNT in self.types and self.types[ACCOUNT].parents:
            errors.append(At(("types", ACCOUNT, "parents"), "an account has no parent"))
        raise_any(errors)
        return self

    @model_validator(mode="after")
    def _kinds_are_new_and_about_known_types(self) -> Platform:
        errors = [
            At(("events", name), "can't be the name of a kind of event: every platform has it already")
            for name in self.events
            if name in BUILT_IN
        ]
        errors += [
            At(("events", name, "about"), f"{about} isn't a type; the types: {', '.join(self.types)}")
            for name, kind in self.events.items()
            for about in kind.about or ()
            if about not in self.types
        ]
        raise_any(errors)
        return self

    @model_validator(mode="after")
    def _features_can_be_computed(self) -> Platform:
        check_features(self.features, self.keys, Offered(self.events, self.types))
        return self

    @property
    def digest(self) -> str:
        """Hex SHA-256; equal for files that say the same, whatever their comments and layout."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()

    @property
    def field_kinds(self) -> dict[str, Kind]:
        """What each declared field holds, by `types.episode.genre` or `events.payout.amount`."""
        return {
            f"{section}.{name}.{field}": one.kind
            for section, declared in (("types", self.types), ("events", self.events))
            for name, fielded in declared.items()
            for field, one in fielded.fields.items()
        }

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
