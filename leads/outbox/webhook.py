"""Signed webhooks, as Standard Webhooks (standardwebhooks.com) specifies them.

The signature covers the message's id, the time of the try and the stored bytes of the body, so a receiver can check who
sent it, refuse old copies, and leave out what it has received already: a message that is sent again has the same id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from leads import clock
from leads.clock import Clock
from leads.db.outbox.messages import Message
from leads.environment.addresses import is_loopback
from leads.errors import ConfigurationError
from leads.outbox.delivery import MAX_PAUSE, Result

SECRET_SETTING = "LEADS_ALERT_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_BYTES = range(24, 65)
_TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_GONE = 410


def secrets_of(text: str) -> tuple[bytes, ...]:
    """The secrets of a setting: one, or several separated by spaces, while a receiver changes from one to the other.

    Raises:
        ConfigurationError: it isn't a secret. The error doesn't quote it.
    """
    found = tuple(_secret(part) for part in text.split())
    if not found:
        raise _invalid()
    return found


def sign(secrets: Sequence[bytes], id_: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`.

    Args:
        timestamp: of the try, in seconds since epoch.
    """
    signed = f"{id_}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


class Webhook:
    """Sends messages to a URL. Redirects aren't followed, and the response's body isn't read.

    Args:
        url: as `leads.environment.addresses.checked_webhook` returns it.
        transport: an httpx transport, for tests.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[bytes],
        *,
        clock_: Clock = clock.now,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url
        # A proxy doesn't reach this host.
        self._proxied = not is_loopback(urlsplit(url).hostname or "")
        self._secrets = tuple(secrets)
        self._clock = clock_
        self._transport = transport

    def __call__(self, message: Message) -> Result:
        """Try to deliver a message once."""
        timestamp = self._clock() // clock.SECOND
        headers = {
            "content-type": "application/json",
            "user-agent": "lead-serving",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._secrets, message.id, timestamp, message.body),
        }
        try:
            with (
                httpx.Client(
                    timeout=_TIMEOUT, follow_redirects=False, trust_env=self._proxied, transport=self._transport
                ) as client,
                client.stream("POST", self._url, content=message.body, headers=headers) as response,
            ):
                return _result(response)
        except httpx.HTTPError as error:
            # The error's own text may quote the URL, which may hold a token.
            return Result(f"no response: {type(error).__name__}")
        # Of invalid proxies, and of a proxy that needs a package that isn't installed.
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            return Result(f"the URL or a proxy is invalid: {type(error).__name__}")


def _result(response: httpx.Response) -> Result:
    status = response.status_code
    if response.is_success:
        return Result()
    if status == _GONE:
        return Result("the receiver answered 410: it doesn't want any more messages", final=True)
    if response.has_redirect_location:
        return Result(f"the receiver answered {status}: redirects aren't followed")
    return Result(f"the receiver answered {status}", retry_after=_retry_after(response))


def _retry_after(response: httpx.Response) -> int:
    text = response.headers.get("retry-after", "")
    return min(int(text) * clock.SECOND, MAX_PAUSE) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _secret(text: str) -> bytes:
    if not text.startswith(_PREFIX):
        raise _invalid()
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid() from None
    if len(secret) not in _BYTES:
        raise _invalid()
    return secret


def _invalid() -> ConfigurationError:
    return ConfigurationError(
        "The secret that signs webhooks must be whsec_ followed by 24 to 64 bytes in base64.",
        field=SECRET_SETTING,
        remedy="Make one with: echo whsec_$(openssl rand -base64 32)",
    )
