"""The least that a request over HTTP costs: a BentoML service whose only route does nothing."""

from __future__ import annotations

import bentoml


@bentoml.service(name="noop", metrics={"enabled": False}, logging={"access": {"enabled": False}})
class NoopService:
    """Answers `{}`."""

    @bentoml.api  # type: ignore[untyped-decorator]
    async def nothing(self) -> dict[str, str]:
        return {}
