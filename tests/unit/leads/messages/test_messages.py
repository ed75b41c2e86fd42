"""Messages about invalid input say what is allowed, in words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from leads.errors import InvalidInput
from leads.events import decode, decode_event
from leads.messages.patterns import LANGUAGE, URL, allowed_by, pydantic_message
from leads.platform.declaration import Platform
from leads.policies import Policies
from leads_client.schemas.alerts import AcknowledgeIn, SilenceIn
from leads_client.schemas.events import ItemsIn, PlaysIn, SignalsIn
from leads_client.schemas.leads import ClaimIn, DecisionIn, SubjectDecisionIn
from leads_client.schemas.scores import ScoreIn
from training.behaviour.suite import _SuiteFile
from training.config import TrainingConfig

REF = {"id": "c1", "typeId": "comment"}
SIGNAL = {"subject": REF, "kind": "user_report", "source": "app"}
NAME = "Start with a lower-case letter; use up to 64 lower-case letters, digits and underscores."


@pytest.mark.parametrize(
    ("type_", "body", "error"),
    [
        (DecisionIn, {"verdict": "maybe", "reviewer": "r"},
         "/verdict: Invalid enum value 'maybe'. Use one of: escalate, not_violating, violating."),
        (DecisionIn, {"verdict": "a secret!", "reviewer": "r"},
         "/verdict: Invalid enum value …. Use one of: escalate, not_violating, violating."),
        (SignalsIn, {"signals": [SIGNAL, {**SIGNAL, "kind": "x"}]},
         "/signals/1/kind: Invalid enum value 'x'. Use one of: classifier, hash_match, trusted_flagger, user_report."),
        (SignalsIn, {"signals": [{**SIGNAL, "subject": {**REF, "typeId": "Track"}}]},
         f"/signals/0/subject/typeId: Contains characters that are not allowed. {NAME}"),
        (SignalsIn, {"signals": [{**SIGNAL, "harm": "Spam!"}]},
         f"/signals/0/harm: Contains characters that are not allowed. {NAME}"),
        (SignalsIn, {"signals": [{**SIGNAL, "source": "a\n"}]},
         "/signals/0/source: Contains characters that are not allowed. Use characters other than control characters, "
         "such as line breaks."),
        (ScoreIn, {"subjects": [REF], "harms": ["Spam"]},
         f"/harms/0: Contains characters that are not allowed. {NAME}"),
        (ScoreIn, {"subjects": [{**REF, "text": "x"}]},
         "/subjects/0/text: Object contains unknown field `text`. Its fields are: data, id, typeId."),
        (ItemsIn, {"itemz": []}, "/itemz: Object contains unknown field `itemz`. Its fields are: items."),
        (ScoreIn, {"subjects": [{"id": "c1"}]}, "/subjects/0/typeId: Object missing required field `typeId`."),
        (PlaysIn, {"plays": [{"subject": REF, "accountId": "a1", "seconds": "9"}]},
         "/plays/0/seconds: Expected a number, got a text."),
        (ClaimIn, {"reviewer": "r", "n": 1.5}, "/n: Expected a whole number, got a number."),
        (ScoreIn, {"subjects": [REF], "reasons": 1}, "/reasons: Expected true or false, got a number."),
        (ScoreIn, {"subjects": 7}, "/subjects: Expected a list, got a number."),
        (ItemsIn, {"items": []}, "/items: Expected at least 1 entry."),
        (DecisionIn, {"verdict": "violating", "reason": "a\0"},
         "/reason: Contains characters that are not allowed. Use characters other than control characters, except tabs "
         "and line breaks."),
        (AcknowledgeIn, {"note": "\x1b[0m"},
         "/note: Contains characters that are not allowed. Use characters other than control characters, except tabs "
         "and line breaks."),
        (SilenceIn, {"rule": "*", "until": "2026-03-01T12:00:00Z", "why": " \n"},
         "/why: Contains characters that are not allowed. Write at least one word, without control characters except "
         "tabs and line breaks."),
        (ClaimIn, {"reviewer": "r "},
         "/reviewer: Contains characters that are not allowed. Use a name without spaces around it, control characters "
         "and invisible characters."),
        (ClaimIn, {"exclude": ["c1"]},
         "/exclude/0: Contains characters that are not allowed. Use the `id` of a lead, unchanged."),
        (ItemsIn, {"items": [{**REF, "id": ""}]}, "/items/0/id: Expected at least 1 character."),
    ],
)  # fmt: skip
def test_requests(type_: type, body: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(msgspec.json.Decoder(type_), json.dumps(body).encode())
    assert str(refused.value) == error


def test_the_kinds_of_an_event_are_listed() -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_event(b'{"id": "e1", "occurred_at": 1772366400000000, "body": {"type": "liked"}}')
    assert str(refused.value) == (
        "/body/type: Invalid value 'liked'. Use one of: item_created, played, signal_received, decision_made, happened."
    )


def test_every_pattern_is_explained() -> None:
    schemas = [msgspec.json.schema(x) for x in (ItemsIn, SignalsIn, PlaysIn, ScoreIn, ClaimIn, SubjectDecisionIn)]
    schemas += [x.model_json_schema() for x in (Policies, Platform, _SuiteFile, TrainingConfig)]
    schemas += [{"pattern": pattern} for pattern in (URL, LANGUAGE)]
    found = {pattern for schema in schemas for pattern in patterns_in(schema)}
    assert len(found) >= 4
    for pattern in found:
        assert allowed_by(pattern)
        told = pydantic_message({"type": "string_pattern_mismatch", "msg": "…", "ctx": {"pattern": pattern}})
        assert pattern not in told


def patterns_in(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [pattern for one in schema for pattern in patterns_in(one)]
    if not isinstance(schema, dict):
        return []
    own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    own += list(schema["patternProperties"]) if "patternProperties" in schema else []
    return own + [pattern for one in schema.values() for pattern in patterns_in(one)]
