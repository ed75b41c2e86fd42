"""The client, the platform and the API have one version, and the client says when the service's doesn't fit."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import yaml
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

import leads_client
from leads.db import keys
from leads_client.errors import Unavailable
from leads_client.version import VERSION, VersionMismatch
from serving.http.routes import create_app
from serving.runtime import Runtime
from tests.support.client_world import Face
from tests.support.declared import DECLARED
from tests.support.paths import REPOSITORY
from tests.support.serving.world import Http, make_runtime, make_stack

EMPTY = {"leads": [], "nextCursor": None}
Answering = Callable[..., tuple[Face, list[httpx.Request]]]


def project(*folders: str) -> dict[str, Any]:
    path = REPOSITORY.joinpath(*folders, "pyproject.toml")
    found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return found


def test_everything_has_the_same_version() -> None:
    assert project("clients", "python")["version"] == VERSION
    assert project()["version"] == VERSION
    assert f"lead-serving-client=={VERSION}" in project()["dependencies"]
    wheels = yaml.safe_load((REPOSITORY / "bentofile.yaml").read_text(encoding="utf-8"))["python"]["wheels"]
    assert wheels == [f"dist/lead_serving_client-{VERSION}-py3-none-any.whl"]
    document = create_app(lambda: pytest.fail("not needed")).document(DECLARED, "/v1")
    assert document["info"]["version"] == VERSION
    assert leads_client.__version__ == VERSION


def test_callers_with_a_key_and_nobody_else_learn_the_version(
    settings: Any, engine: Engine, portal: BlockingPortal
) -> None:
    runtime: Runtime = make_runtime(settings, engine)
    client = Http(make_stack(runtime), portal)
    key = {"x-api-key": keys.create(engine, "x", ["score"]).text}
    assert client.get("/v1/models", headers=key).headers["x-api-version"] == VERSION
    # Errors, too.
    assert client.get("/v1/leads", headers=key).headers["x-api-version"] == VERSION
    for path in ("/v1/models", "/readyz", "/livez"):
        assert "x-api-version" not in client.get(path).headers
    runtime.close()


def served(version: str, **body: Any) -> httpx.Response:
    return httpx.Response(200, headers={"x-api-version": version}, json=body or EMPTY)


def test_another_major_version_is_pointed_out_once(answering: Answering) -> None:
    client, sent = answering(*[served("7.2.0")] * 2)
    with pytest.warns(VersionMismatch, match=rf"version 7\.2\.0 and this client {VERSION}.*lead-serving-client==7"):
        client.leads()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.leads()
    assert sent[0].headers["user-agent"] == f"lead-serving-client/{VERSION}"


@pytest.mark.parametrize("version", [VERSION, f"{VERSION.partition('.')[0]}.99.0", "unknown", ""])
def test_other_versions_fit(answering: Answering, version: str) -> None:
    client, _ = answering(served(version))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.leads()


def test_a_response_that_does_not_fit_is_explained_by_the_version(answering: Answering) -> None:
    client, _ = answering(served("7.2.0", leads=5))
    with pytest.warns(VersionMismatch), pytest.raises(Unavailable, match=r"The service has version 7\.2\.0"):
        client.leads()
