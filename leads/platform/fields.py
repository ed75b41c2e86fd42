"""Fields of items and events: what they hold, and what reviewers and policies see of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator

from leads.messages import patterns
from leads.yaml_files import Strict

Kind = Literal["text", "number", "flag", "category", "time", "url", "language"]
FieldName = Annotated[str, StringConstraints(pattern=patterns.NAME)]

# Names that the API uses for what every item and event has.
RESERVED = frozenset(("account_id", "parent", "subject", "kind"))
MAX_TEXT_CHARS, MAX_URL_CHARS, MAX_CATEGORY_CHARS = 20_000, 2_048, 64
# Options that only some kinds have.
_OPTIONS: Mapping[str, tuple[Kind, ...]] = {
    "judged": ("text",),
    "max_chars": ("text", "url"),
    "unit": ("number",),
    "at_least": ("number",),
    "at_most": ("number",),
    "values": ("category",),
    "blur": ("url", "text"),
}


class Field(Strict):
    """A field of a type or of a kind of event."""

    kind: Kind
    title: Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=patterns.ONE_LINE)] | None = Described(
        default=None, description="What reviewers read above the value; by default, the name in words."
    )
    required: bool = False
    judged: bool = Described(default=False, description="Whether policies judge this text.")
    shown: bool = Described(default=True, description="Whether reviewers see it.")
    blur: bool = Described(default=False, description="Whether reviewers see it only after they ask for it.")
    personal: bool = Described(default=False, description="Whether it is about a person: it is never logged.")
    max_chars: Annotated[int, Described(ge=1, le=50_000)] | None = Described(
        default=None, description=f"Default: {MAX_TEXT_CHARS:,} for a text, {MAX_URL_CHARS:,} for a URL."
    )
    unit: Annotated[str, StringConstraints(min_length=1, max_length=40)] | None = None
    at_least: float | None = None
    at_most: float | None = None
    values: tuple[Annotated[str, StringConstraints(min_length=1, max_length=MAX_CATEGORY_CHARS)], ...] | None = (
        Described(default=None, description="The only values of a category; by default, any.", min_length=1)
    )

    @model_validator(mode="after")
    def _options_fit_the_kind(self) -> Field:
        for option, kinds in _OPTIONS.items():
            if option in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"a field of kind {self.kind} has no {option}; fields of kind {' or '.join(kinds)} do")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least is above at_most")
        if self.values is not None and len(set(self.values)) < len(self.values):
            raise ValueError("values lists a value twice")
        return self

    @property
    def chars(self) -> int:
        """The maximum length of a text, a URL or a category."""
        return self.max_chars or {"url": MAX_URL_CHARS, "category": MAX_CATEGORY_CHARS}.get(self.kind, MAX_TEXT_CHARS)


def in_words(name: str) -> str:
    """A name as people write it.

    >>> in_words("audio_url")
    'Audio url'
    """
    return name.replace("_", " ").capitalize()
