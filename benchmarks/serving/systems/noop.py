"""The floor over HTTP: a BentoML service whose one route does nothing."""

from __future__ import annotations

import bentoml


@bentoml.service(name="noop", metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Noop:
    """Answers `{}`."""

    @bentoml.api  # type: ignore[untyped-decorator]
    async def nothing(self) -> dict[str, str]:
        return {}
