"""The reasons for changes to versions, and their outcomes."""

from __future__ import annotations

from typing import NamedTuple

from training.gate.gate import GateReport


class ChangeReason(NamedTuple):
    """Who changes something, and why."""

    actor: str
    why: str


class Settled(NamedTuple):
    """The alias of a version after a change, None if it has none; why; and the gate's report if the gate was asked."""

    alias: str | None
    why: str
    gate: GateReport | None = None


class Moved(NamedTuple):
    """The champion after and before a change, None if there was none; and why versions were passed over."""

    champion: str | None
    before: str | None
    passed_over: tuple[str, ...] = ()
