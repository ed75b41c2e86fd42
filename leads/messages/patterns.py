"""What strings must look like, and how to say that to people: nobody should have to read a regular expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from leads_client.fields import Id, LeadId, Name, Prose, Reviewer, RuleOrAll, SomeProse

NAME = r"^[a-z][a-z0-9_]{0,63}$"
# `view.feature`, and `kind.field`.
FEATURE = r"^[a-z][a-z0-9_]{0,63}\.[a-z][a-z0-9_]{0,63}$"
SOURCE = r"^([a-z][a-z0-9_]{0,63})\.([a-z][a-z0-9_]{0,63})$"
METRIC = r"^[a-z][a-z0-9_]{0,63}\.[a-z0-9_]{1,63}$"
ID = r"^[^\x00-\x1f\x7f]{1,256}$"
CORPUS = r"^[a-z-]+(:[a-z_]+)?$"
ONE_LINE = r"^[^\n]+$"
# Of any length, also empty.
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
URL = r"^https?://[^\s\x00-\x1f\x7f]+$(?!\n)"
# BCP 47, as far as it is used: `en`, `pt-BR`, `zh-Hant-TW`.
LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$(?!\n)"

# The type of a field carries its pattern.
_ID_IN_JSON, _NAME_IN_JSON, _RULE_IN_JSON = (get_args(type_)[1].pattern for type_ in (Id, Name, RuleOrAll))
_REVIEWER_IN_JSON, _LEAD_ID, _PROSE, _SOME_PROSE = (
    get_args(type_)[1].pattern for type_ in (Reviewer, LeadId, Prose, SomeProse)
)
# For pydantic, whose `$` doesn't allow a final newline, and which knows no lookahead.
REVIEWER = _REVIEWER_IN_JSON.removesuffix(r"(?!\n)")
_NAME = "Start with a lower-case letter; use up to 64 lower-case letters, digits and underscores"
_ID = "Use characters other than control characters, such as line breaks"
_REVIEWER = "Use a name without spaces around it, control characters and invisible characters"
_TEXTS = {
    REVIEWER: _REVIEWER,
    _REVIEWER_IN_JSON: _REVIEWER,
    _LEAD_ID: "Use the `id` of a lead, unchanged",
    _PROSE: "Use characters other than control characters, except tabs and line breaks",
    _SOME_PROSE: "Write at least one word, without control characters except tabs and line breaks",
    _ID_IN_JSON: _ID,
    ID: _ID,
    NO_CONTROLS: _ID,
    _NAME_IN_JSON: _NAME,
    _RULE_IN_JSON: "Write the name of a rule, or * for all",
    NAME: _NAME,
    FEATURE: "Write a row and a name, for example account.follows_7d",
    SOURCE: "Write a kind of event and one of its fields, for example payout.amount",
    METRIC: "Write the name of a metric, for example performance.precision",
    CORPUS: "Name a corpus, or a corpus and a part of it, for example cad:identity",
    ONE_LINE: "Write a single line",
    URL: "Write an address that begins with http:// or https://",
    LANGUAGE: "Write a language tag, for example en or pt-BR",
}

# pydantic's types of errors for a value where there should be keys; its messages name classes of ours.
_NOT_KEYS = frozenset(("model_type", "model_attributes_type", "dict_type", "mapping_type"))


def allowed_by(pattern: str) -> str:
    """What the pattern allows, as an instruction without a full stop.

    >>> allowed_by(ONE_LINE)
    'Write a single line'
    """
    return _TEXTS[pattern]


def pydantic_message(error: Mapping[str, Any]) -> str:
    """The message of one of pydantic's errors, without a full stop and without a regular expression."""
    if error["type"] == "string_pattern_mismatch":
        return f"Contains characters that are not allowed. {allowed_by(error['ctx']['pattern'])}"
    if error["type"] == "extra_forbidden":
        return "This key is unknown"
    if error["type"] == "missing":
        return "It is missing"
    if error["type"] in _NOT_KEYS:
        return "Expected keys with values"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")
