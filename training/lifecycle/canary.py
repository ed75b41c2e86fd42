"""A harm's canary: the version that serves a share of the subjects while the champion serves the rest."""

from __future__ import annotations

import tempfile
from pathlib import Path

from leads.db import canary_retreats
from leads.db.model_changes import CANARY, CHAMPION, ModelChange
from leads.errors import Conflict, InvalidInput
from models.registry.versions import CANARY_SHARE
from training.lifecycle.lifecycle import Lifecycle
from training.lifecycle.outcomes import ChangeReason


def start(lifecycle: Lifecycle, number: str, reason: ChangeReason, *, share: float | None = None) -> str | None:
    """Make a version the canary, even one that retreated before. Returns the canary that it replaces, if any.

    The share is kept with the version, so that running services use it whatever policies they read when they started.

    Args:
        share: of the subjects, between 0 and 1; default: the policy's. An active canary can be started with another
            share.

    Raises:
        InvalidInput: the share isn't between 0 and 1.
        NotFound: the version doesn't exist.
        Conflict: it is the champion, retired, or already the active canary with this share; or there is no champion;
            or another process is changing versions.
        ModelRefused: it fails a check of serving's.
        Unavailable: as every method of `Lifecycle`.
    """
    harm, share = lifecycle.harm, lifecycle.policy.canary.share if share is None else share
    if not 0 < share < 1:
        raise InvalidInput(
            f"{share:g} is not a share of the subjects.",
            field="--share",
            remedy="Use a number above 0 and below 1: 0.05 for one subject in twenty.",
        )
    with lifecycle.moves.exclusively(harm), tempfile.TemporaryDirectory() as folder:
        lifecycle.versions.check_usable(number)
        aliases = lifecycle.registry.aliases(harm)
        if aliases.get(CHAMPION) in (number, None):
            problem = (
                f"Version {number} is the champion of {harm}" if CHAMPION in aliases else f"{harm} has no champion"
            )
            raise Conflict(
                f"{problem}; a canary is compared with another version, the champion.",
                field="VERSION",
                remedy="Choose another version: leads models list",
            )
        lifecycle.versions.verified(number, Path(folder))
        at = lifecycle.clock()
        with lifecycle.engine.begin() as connection:
            had_retreated = canary_retreats.clear(connection, harm, number, at)
        before = aliases.get(CANARY)
        same_share = lifecycle.registry.tags_of(harm, number).get(CANARY_SHARE) == str(share)
        if before == number and same_share and not had_retreated:
            raise Conflict(
                f"Version {number} is already the canary of {harm}, with a share of {share:g}.", field="VERSION"
            )
        lifecycle.registry.tag(harm, number, CANARY_SHARE, str(share))
        lifecycle.moves.carry_out(ModelChange(at, harm, number, "canary", reason.actor, reason.why, alias=CANARY))
        return before if before != number else None


def stop(lifecycle: Lifecycle, reason: ChangeReason) -> str:
    """Let the champion serve all subjects again. Returns the version that was the canary.

    Raises:
        Conflict: there is no canary, or another process is changing versions.
        Unavailable: as every method of `Lifecycle`.
    """
    harm = lifecycle.harm
    with lifecycle.moves.exclusively(harm):
        number = lifecycle.registry.aliases(harm).get(CANARY)
        if number is None:
            raise Conflict(f"{harm} has no canary.", field="HARM", remedy="Show the aliases: leads models list")
        change = ModelChange(lifecycle.clock(), harm, number, "canary_stopped", reason.actor, reason.why, alias=CANARY)
        lifecycle.moves.carry_out(change)
        return number
