"""Scoring while the database or the online store is down: as the policy says, flagged, and never guessed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.db.engine import unchecked_engine
from leads.errors import Unavailable
from leads.policies import HarmPolicy, Policies
from leads.settings import Settings, load_settings
from serving.runtime import Runtime
from serving.scoring.scorer import Scorer
from tests.support.serving.world import SPAM_TEXT, FakeReader, Http, make_runtime, make_stack, publish

WITH_TEXT = {"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT, "accountId": "a1"}}
BY_ID = {"id": "c2", "typeId": "comment"}
ACCOUNT = {"id": "a1", "typeId": "account"}


@pytest.fixture
def served(settings: Settings, engine: Engine) -> Iterator[Runtime]:
    publish(settings, "spam")
    publish(settings, "stream_manipulation")
    made = make_runtime(settings, engine)
    yield made
    made.close()


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Engine]:
    """An engine for a PostgreSQL server that isn't running."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"postgresql+psycopg://nobody@127.0.0.1:{port}/leads"
    engine = unchecked_engine(load_settings(home=tmp_path / "down", database_url=url), timeout_s=1)
    yield engine
    engine.dispose()


def ask(runtime: Runtime, *subjects: dict[str, Any]) -> Any:
    key = keys.create(runtime.engine, "x", ["score"]).text
    with start_blocking_portal() as portal:
        client = Http(make_stack(runtime), portal, headers={"x-api-key": key})
        return client.post("/v1/score", json={"subjects": subjects})


def parts(answer: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Scores and errors."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    results = body.get("results", [body])
    return [x for one in results for x in one["scores"]], [x for one in results for x in one["errors"]]


def with_scorer(runtime: Runtime, *, engine: Engine | None = None, policies: Policies | None = None) -> Runtime:
    scorer = Scorer(
        engine or runtime.engine, policies or runtime.policies, runtime.reader, runtime.published, runtime.predictions
    )
    return replace(runtime, scorer=scorer)


def store_down(runtime: Runtime) -> None:
    reader = runtime.reader
    assert isinstance(reader, FakeReader)
    reader.error = Unavailable("The store is down.")


def test_a_harm_with_policy_refuse_is_not_scored_without_features(served: Runtime) -> None:
    spam = served.policies.harms["spam"].model_dump() | {"without_features": "refuse"}
    harms = {**served.policies.harms, "spam": HarmPolicy.model_validate(spam)}
    runtime = with_scorer(served, policies=served.policies.model_copy(update={"harms": harms}))
    (score,), _ = parts(ask(runtime, WITH_TEXT))
    assert score["harm"] == "spam"
    store_down(served)
    answer = ask(runtime, WITH_TEXT)
    assert answer.status_code == 503
    assert "feature store" in answer.text


def test_an_unknown_account_is_503_while_the_store_is_down(served: Runtime) -> None:
    assert ask(served, ACCOUNT).status_code == 404
    store_down(served)
    assert ask(served, ACCOUNT).status_code == 503


def test_a_given_text_is_scored_while_the_database_is_down(served: Runtime, down: Engine) -> None:
    scores, errors = parts(ask(with_scorer(served, engine=down), WITH_TEXT, BY_ID))
    assert [one["harm"] for one in scores] == ["spam"]
    assert scores[0]["score"] > 0.9
    assert "items_unavailable" in scores[0]["degraded"]
    assert "subject_unknown" not in scores[0]["degraded"]
    assert [one["status"] for one in errors] == [503]


def test_a_subject_without_text_is_not_scored_while_the_database_is_down(served: Runtime, down: Engine) -> None:
    answer = ask(with_scorer(served, engine=down), BY_ID)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
