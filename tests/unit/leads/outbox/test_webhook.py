"""Signed webhooks, checked with the specification's own example and with OpenSSL."""

from __future__ import annotations

import base64
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from leads import clock
from leads.alerting.policy import WebhookPolicy
from leads.db.outbox.messages import Message
from leads.errors import ConfigurationError
from leads.outbox.delivery import MAX_PAUSE, Result
from leads.outbox.webhook import Webhook, secrets_of, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_614_265_330 * clock.SECOND
MESSAGE = Message(7, "t", "k", b'{"test": 2432232314}', NOW, NOW, 1, None, None)
URL = "https://hooks.example.com/leads?token=hidden"


def test_the_example_of_the_specification() -> None:
    found = sign(secrets_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, MESSAGE.body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")
def test_openssl_makes_the_same_signature() -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_")).hex()
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key}", "-binary"]
    signed = b"msg_1.1700000000." + MESSAGE.body
    digest = subprocess.run(command, input=signed, capture_output=True, check=True).stdout
    assert sign(secrets_of(SECRET), "msg_1", 1_700_000_000, MESSAGE.body) == f"v1,{base64.b64encode(digest).decode()}"


def test_two_secrets_sign_while_one_replaces_the_other() -> None:
    other = f"whsec_{base64.b64encode(b'x' * 32).decode()}"
    both = sign(secrets_of(f"{SECRET} {other}"), "a", 1, b"{}").split(" ")
    assert both == [sign(secrets_of(one), "a", 1, b"{}") for one in (SECRET, other)]


@pytest.mark.parametrize(
    "text", ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", f"whsec_{base64.b64encode(b'x' * 65).decode()}"]
)
def test_invalid_secrets_are_not_quoted(text: str) -> None:
    with pytest.raises(ConfigurationError, match="LEADS_ALERT_WEBHOOK_SECRET") as raised:
        secrets_of(text)
    assert len(text) < 8 or text not in str(raised.value)


def answer(status: int, **headers: str) -> Result:
    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers)

    return webhook(httpx.MockTransport(handle))(MESSAGE)


def webhook(transport: httpx.BaseTransport) -> Webhook:
    return Webhook(URL, secrets_of(SECRET), clock_=lambda: NOW, transport=transport)


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success(status: int) -> None:
    assert answer(status) == Result()


@pytest.mark.parametrize("status", [400, 401, 404, 500, 502, 503])
def test_failures_are_tried_again(status: int) -> None:
    assert answer(status) == Result(f"the receiver answered {status}")


def test_redirects_are_not_followed() -> None:
    result = answer(302, location="https://elsewhere.example.com")
    assert result.error == "the receiver answered 302: redirects aren't followed"
    assert not result.final


def test_gone_is_final() -> None:
    assert answer(410).final


@pytest.mark.parametrize(
    ("text", "wait"), [("120", 120 * clock.SECOND), ("99999999", MAX_PAUSE), ("soon", 0), ("-1", 0), ("²", 0)]
)
def test_retry_after(text: str, wait: int) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers=[(b"retry-after", text.encode())])

    assert webhook(httpx.MockTransport(handle))(MESSAGE).retry_after == wait


def test_no_response_names_no_url() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"can't connect to {request.url}")

    assert webhook(httpx.MockTransport(fail))(MESSAGE) == Result("no response: ConnectError")


class _Handler(http.server.BaseHTTPRequestHandler):
    got: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """The address of a receiver on this host, and what it got."""
    got: list[tuple[dict[str, str], bytes]] = []
    server = http.server.HTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"got": got}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http(receiver: tuple[str, list[tuple[dict[str, str], bytes]]], monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy doesn't reach this host.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    url, got = receiver
    assert Webhook(url, secrets_of(SECRET), clock_=lambda: NOW)(MESSAGE) == Result()
    ((headers, body),) = got
    assert body == MESSAGE.body
    assert headers["webhook-id"] == MESSAGE.id
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == sign(secrets_of(SECRET), MESSAGE.id, 1_614_265_330, body)
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("url", ["https://hooks.example.com/x", "http://localhost:9000/x", "http://[::1]:9000/"])
def test_urls_that_are_allowed(url: str) -> None:
    assert WebhookPolicy(url=url).url == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example.com/x", "https://"),
        ("ftp://hooks.example.com/x", "https://"),
        ("https:///x", "https://"),
        ("https://hooks.example.com/a b", "https://"),
        ("https://me:secret@hooks.example.com/", "password"),
        ("https://hooks.example.com:99999/", "URL"),
        ("http://127.0.0.1.example.com/", "https://"),
    ],
)
def test_urls_that_are_not(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        WebhookPolicy(url=url)
