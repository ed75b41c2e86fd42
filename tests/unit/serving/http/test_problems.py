"""One kind of problem has one type and one title, whoever found it."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest

from leads.errors import InvalidInput, LeadsError, NotFound, TooLarge, Unavailable
from leads_client._answers import KINDS
from serving.http import problems


def document(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.body)
    return found


@pytest.mark.parametrize("error", [InvalidInput("x"), NotFound("x"), TooLarge("x"), Unavailable("x")], ids=repr)
def test_a_status_and_an_error_have_the_same_type(error: LeadsError) -> None:
    by_error = document(problems.from_error(error, "r"))
    foreign = b'{"detail": [{"loc": ["body", "x"], "msg": "wrong"}]}'
    for response in (problems.from_status(error.status, "r"), problems.from_response(error.status, foreign, "r")):
        by_status = document(response)
        assert (by_status["type"], by_status["title"]) == (by_error["type"], by_error["title"])
        assert by_status["detail"]


def test_no_two_types_share_a_status() -> None:
    for status in HTTPStatus:
        if status < 400 or status not in KINDS:
            continue
        kind = KINDS[status]
        if kind.status == status and kind is not LeadsError:
            expected = document(problems.from_error(kind("x"), "r"))["type"]
            assert document(problems.from_status(status, "r"))["type"] == expected


def test_when_nothing_is_scored_for_a_moment_the_response_says_when_to_try_again() -> None:
    unavailable = problems.from_errors(Unavailable("x"), [problems.Detail("/subjects/0", "x")], "r")
    assert unavailable.headers["retry-after"] == "1"
    assert "retry-after" not in problems.from_errors(NotFound("x"), [], "r").headers
