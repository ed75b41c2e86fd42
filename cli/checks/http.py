"""Asks servers over HTTP whether they are there."""

from __future__ import annotations

import os
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from cli.checks.findings import ANSWER_S
from leads.environment.addresses import is_loopback


class Answer(NamedTuple):
    """What a server answered. Without a status, `text` says why there is no answer, as the end of a sentence."""

    status: int | None
    text: str
    refused: bool = False

    def json(self) -> dict[str, Any]:
        """The object that the text contains; empty if it contains something else."""
        try:
            found = msgspec.json.decode(self.text)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}


def answer_of(url: str) -> Answer:
    """GET the URL, with MLflow's credentials if it has none of its own; waits at most a few seconds."""
    import httpx

    # A proxy doesn't reach this host.
    proxied = not is_loopback(urlsplit(url).hostname or "")
    try:
        with httpx.Client(timeout=ANSWER_S, trust_env=proxied, auth=_credentials(url), verify=_verifies()) as client:
            answer = client.get(url)
    except httpx.ConnectError as error:
        return Answer(None, "can't be reached", refused="refused" in str(error).lower())
    except httpx.TimeoutException:
        return Answer(None, f"doesn't answer within {ANSWER_S:g} s")
    # Besides httpx's errors: of invalid proxies, and of a proxy that needs a package that isn't installed.
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
        return Answer(None, f"can't be asked ({type(error).__name__})")
    return Answer(answer.status_code, answer.text)


def _credentials(url: str) -> tuple[str, str] | None:
    name, password = (os.environ.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    return (name, password) if name and "@" not in url else None


def _verifies() -> bool:
    return os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("1", "true")
