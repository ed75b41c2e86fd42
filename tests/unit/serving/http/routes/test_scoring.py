"""Scores over HTTP, and the versions that gave them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leads import clock
from leads.settings import Settings
from serving.runtime import Runtime
from tests.support.serving.route_world import (
    SECRET_TEXT,
    an_item,
    problem,
)
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT, Http, publish


def test_scores_by_id_and_by_text_name_their_version(client: Http) -> None:
    client.post("/v1/items", json={"items": [an_item(text=SPAM_TEXT)]})
    body = {
        "subjects": [
            {"id": "c1", "typeId": "comment"},
            {"id": "n1", "typeId": "comment", "data": {"text": BENIGN_TEXT}},
            {"id": "n2", "typeId": "comment"},
        ],
        "reasons": True,
    }
    answer = client.post("/v1/score", json=body).json()
    assert clock.from_text(answer["at"]) <= clock.now()
    assert [x["subject"]["id"] for x in answer["results"]] == ["c1", "n1", "n2"]
    (known,), (new,), none = (x["scores"] for x in answer["results"])
    assert known["score"] > 0.9 > 0.1 > new["score"]
    for score in (known, new):
        assert (score["model"], score["modelVersion"], score["harm"], score["role"]) == (
            "leads-spam", "1", "spam", "champion",
        )  # fmt: skip
    explained = known["explanation"]
    assert explained["reasons"][0]["code"] == "TEXT_RESEMBLES_VIOLATIONS"
    parts = explained["base"] + sum(x["weight"] for x in explained["reasons"]) + explained["rest"]
    assert parts == pytest.approx(explained["margin"], abs=1e-5)
    assert "subject_unknown" in new["degraded"]
    assert none == []
    assert [x["errors"] for x in answer["results"][:2]] == [[], []]
    (error,) = answer["results"][2]["errors"]
    assert (error["pointer"], error["status"], error["harm"]) == ("/subjects/2/id", 404, None)


def test_an_invalid_subject_is_an_error_in_its_own_result(client: Http) -> None:
    good = {"id": "n1", "typeId": "comment", "data": {"text": BENIGN_TEXT}}
    bad: list[tuple[object, str]] = [
        (5, ""), ("x", ""), (None, ""), ({}, "/id"), ({"id": "", "typeId": "comment"}, "/id"),
        ({"id": "c1", "typeId": "No Such"}, "/typeId"),
        ({"id": "c1", "typeId": "comment", "data": {"text": 5}}, "/data/text"),
        ({"id": "c1", "typeId": "comment", "data": {"text": "x" * 20_001}}, "/data/text"),
        ({"id": "c1", "typeId": "comment", SECRET_TEXT: 1}, ""),
    ]  # fmt: skip
    sent = [good, *(one for one, _ in bad), good]
    answer = client.post("/v1/score", json={"subjects": sent, "harms": ["spam"]})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert len(results) == len(sent)
    assert [len(x["scores"]) for x in results] == [1, *(0 for _ in bad), 1]
    for i, (_, pointer) in enumerate(bad, start=1):
        (error,) = results[i]["errors"]
        # Content is read by the subject's type, once that is known.
        subject = {"id": "c1", "typeId": "comment"} if pointer == "/data/text" else None
        assert (results[i]["subject"], error["status"], error["pointer"]) == (subject, 422, f"/subjects/{i}{pointer}")
    assert SECRET_TEXT not in answer.text
    only_bad = problem(client.post("/v1/score", json={"subjects": [one for one, _ in bad]}), 422)
    assert len(only_bad["errors"]) == len(bad)


def test_if_nothing_can_be_scored_the_response_is_a_problem(client: Http) -> None:
    found = problem(client.post("/v1/score", json={"subjects": [{"id": "c9", "typeId": "comment"}]}), 404)
    assert found["errors"][0]["pointer"] == "/subjects/0/id"


def test_a_damaged_champion_is_named_even_if_no_harm_was_asked_for(
    client: Http, runtime: Runtime, settings: Settings, key: Callable[..., dict[str, str]]
) -> None:
    """The other harms are scored. Neither harms without a version nor those of other keys are mentioned."""
    booster = publish(settings, "sexism") / "booster.ubj"
    booster.write_bytes(booster.read_bytes()[:-9])
    runtime.published.refresh()
    comment = {"id": "n1", "typeId": "comment", "data": {"text": SPAM_TEXT}}
    every = {"subjects": [comment, {"id": "a1", "typeId": "account", "data": {}}]}
    client.post("/v1/items", json={"items": [an_item(text=SPAM_TEXT), {"id": "a1", "typeId": "account"}]})
    answer = client.post("/v1/score", json=every)
    assert answer.status_code == 200
    of_comment, of_account = answer.json()["results"]
    assert [score["harm"] for score in of_comment["scores"]] == ["spam"]
    assert [score["harm"] for score in of_account["scores"]] == ["stream_manipulation"]
    (error,) = of_comment["errors"]
    assert (error["harm"], error["status"], error["pointer"]) == ("sexism", 503, "/subjects/0")
    assert error["detail"].startswith("Version 1 of sexism is damaged and is being fetched again.")
    assert of_account["errors"] == []
    named = client.post("/v1/score", json={"subjects": [comment], "harms": ["spam", "sexism"]}).json()
    assert named["results"][0]["errors"] == [error]
    limited = client.post("/v1/score", json=every, headers=key("score", harms=["spam", "stream_manipulation"]))
    assert [result["errors"] for result in limited.json()["results"]] == [[], []]
    assert "sexism" not in limited.text


def test_models_shows_the_versions_that_serve(client: Http) -> None:
    models = {x["harm"]: x for x in client.get("/v1/models").json()["models"]}
    assert models["spam"] == {
        "harm": "spam", "model": "leads-spam", "serving": "1", "champion": {"version": "1", "loaded": True},
        "canary": None, "challenger": None, "previous": None, "aliases": {"champion": "1"},
        "converged": True, "refused": {},
    }  # fmt: skip
