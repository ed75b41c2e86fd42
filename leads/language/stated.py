"""Which language an item's text is in: the one that the item states, else the detected one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from leads.events import FieldValue
from leads.language.detection import UNKNOWN, language_of, primary

# The fields of kind `language` that each type of item has.
LanguageFields = Mapping[str, tuple[str, ...]]
NO_FIELDS: LanguageFields = MappingProxyType({})
# Stated subtags that name no single language: undetermined, several, uncoded, and nothing in a language.
_NOT_ONE = frozenset((UNKNOWN, "mul", "mis", "zxx"))


def stated_language(type_id: str, values: Mapping[str, FieldValue], declared: LanguageFields) -> str | None:
    """The language that an item states in the first of its type's language fields that has a value; None if in none.

    >>> stated_language("comment", {"language": "pt-BR"}, {"comment": ("language",)})
    'pt'
    """
    for name in declared.get(type_id, ()):
        tag = values.get(name)
        if isinstance(tag, str) and tag:
            subtag = primary(tag)
            return None if subtag in _NOT_ONE else subtag
    return None


def text_language(text: str | None, stated: str | None, detected: str | None = None) -> str | None:
    """The language of an item's text: the one that the item states, else the detected one; None without a text.

    Args:
        detected: `language_of` the text, if it is known already.
    """
    if text is None:
        return None
    return stated or detected or language_of(text)
