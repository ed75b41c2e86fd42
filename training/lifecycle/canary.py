"""A harm's canary: the version that answers for the policy's share of subjects, beside the champion."""

from __future__ import annotations

import tempfile
from pathlib import Path

from leads.db import canary_retreats
from leads.db.model_changes import CANARY, CHAMPION, ModelChange
from leads.errors import Conflict
from training.lifecycle.lifecycle import Lifecycle, Reason


def start(versions: Lifecycle, number: str, reason: Reason) -> str | None:
    """Let a version answer for a share, also one that retreated before; returns the canary that it replaces.

    Raises:
        NotFound: no such version.
        Conflict: it is the champion, retired, or the canary that answers now; or there is no champion; or another
            process changes versions.
        ModelRefused: it fails its own proof, so that serving would refuse it.
        Unavailable: as every method of `Lifecycle`.
    """
    harm = versions.harm
    with versions.moves.alone(harm), tempfile.TemporaryDirectory() as folder:
        versions.versions.free(number)
        aliases = versions.registry.aliases(harm)
        if aliases.get(CHAMPION) in (number, None):
            said = f"Version {number} is the champion of {harm}" if CHAMPION in aliases else f"{harm} has no champion"
            raise Conflict(
                f"{said}; a canary answers beside another.", field="VERSION", remedy="See: leads models list"
            )
        versions.versions.proven(number, Path(folder))
        at = versions.clock()
        with versions.engine.begin() as connection:
            again = canary_retreats.clear(connection, harm, number, at)
        before = aliases.get(CANARY)
        if before == number and not again:
            raise Conflict(f"Version {number} is the canary of {harm} already.", field="VERSION")
        versions.moves.carry_out(ModelChange(at, harm, number, "canary", reason.actor, reason.why, alias=CANARY))
        return before if before != number else None


def stop(versions: Lifecycle, reason: Reason) -> str:
    """Let the champion answer everything again; returns the version that was the canary.

    Raises:
        Conflict: there is no canary; or another process changes versions.
        Unavailable: as every method of `Lifecycle`.
    """
    harm = versions.harm
    with versions.moves.alone(harm):
        number = versions.registry.aliases(harm).get(CANARY)
        if number is None:
            raise Conflict(f"There is no canary of {harm}.", field="HARM", remedy="See: leads models list")
        change = ModelChange(versions.clock(), harm, number, "canary_stopped", reason.actor, reason.why, alias=CANARY)
        versions.moves.carry_out(change)
        return number
