"""What changes to versions are asked for with, and what they come to."""

from __future__ import annotations

from typing import NamedTuple

from training.gate.gate import GateReport


class Settled(NamedTuple):
    """The alias that a version bears, None when it bears none, why, and what the gate said when it was asked."""

    alias: str | None
    why: str
    gate: GateReport | None = None


class Moved(NamedTuple):
    """Who answers now, None when nobody does, who did before, and which versions were passed over and why."""

    champion: str | None
    before: str | None
    passed_over: tuple[str, ...] = ()


class Reason(NamedTuple):
    """Who changes something and why."""

    actor: str
    why: str
