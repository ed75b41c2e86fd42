"""Each test of the clients runs for both of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from tests.support.client_world import Face, Handler, Pace, open_face


@pytest.fixture
def pace() -> Pace:
    return Pace()


@pytest.fixture(params=["blocking", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def faked(kind: str, portal: BlockingPortal, pace: Pace) -> Callable[..., Face]:
    """Opens a client whose responses come from a function."""

    def opened(handler: Handler, **options: Any) -> Face:
        return open_face(kind, portal, pace, httpx.MockTransport(handler), **options)

    return opened


@pytest.fixture
def answering(faked: Callable[..., Face]) -> Callable[..., tuple[Face, list[httpx.Request]]]:
    """Opens a client that gets these responses (or errors) in turn; returns it with the list of sent requests."""

    def opened(*answers: httpx.Response | Exception, **options: Any) -> tuple[Face, list[httpx.Request]]:
        left, sent = list(answers), []

        def handler(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return faked(handler, **options), sent

    return opened
