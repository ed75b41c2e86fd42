"""A client whose key may do everything but administer, and keys with other scopes."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db import event_log, keys
from leads.db.tables import audit, events, idempotency, leads
from leads.events import DecisionMade, ItemCreated, Played, SignalReceived, Subject
from leads.policies import QueuePolicy
from serving.http.bodies import MAX_BODY_BYTES
from serving.http.openapi.examples import LEAD_ID
from serving.http.openapi.route_docs import ROUTES
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from serving.scoring.reasons.explanation import Reason
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT, Http, make_stack


@pytest.fixture
def client(runtime: Runtime, portal: BlockingPortal) -> Http:
    made = keys.create(runtime.engine, "all", ["score", "leads:read", "leads:decide", "act_as", "events:write"])
    return Http(make_stack(runtime), portal, headers={"x-api-key": made.text})


@pytest.fixture
def key(runtime: Runtime) -> Callable[..., dict[str, str]]:
    def make(*scopes: str, harms: list[str] | None = None) -> dict[str, str]:
        return {"x-api-key": keys.create(runtime.engine, "x", scopes, harms=harms).text}

    return make
