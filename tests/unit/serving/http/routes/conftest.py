"""A client whose key may do everything but administer, and keys with other scopes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anyio.from_thread import BlockingPortal

from leads.db import keys
from serving.runtime import Runtime
from tests.support.serving.world import Http, make_stack


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal) -> Http:
    scopes = ["score", "leads:read", "leads:decide", "act_as", "events:write", "monitoring:read", "monitoring:write"]
    made = keys.create(runtime.engine, "all", scopes)
    return Http(make_stack(runtime), portal, headers={"x-api-key": made.text})


@pytest.fixture
def key(runtime: Runtime) -> Callable[..., dict[str, str]]:
    def make(*scopes: str, harms: list[str] | None = None) -> dict[str, str]:
        return {"x-api-key": keys.create(runtime.engine, "x", scopes, harms=harms).text}

    return make
