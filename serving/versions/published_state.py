"""`published/state.json`: what the follower has proven and published for this host's workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from leads.clock import Micros
from leads.errors import ModelRefused
from leads.files import write_json

STATE_FILE = "state.json"


class HarmState(msgspec.Struct, frozen=True, omit_defaults=False):
    """What is published for a harm.

    Args:
        champion: the version that answers; None: none does.
        refused: why the versions that an alias names are not published, by version.
        aliases: where MLflow's aliases point.
        canary: the version that answers for a share; never the champion.
        challenger: the version that is compared in shadow; never the champion.
        previous: the champion before, kept at hand.
    """

    champion: str | None = None
    refused: Mapping[str, str] = {}
    aliases: Mapping[str, str] = {}
    canary: str | None = None
    challenger: str | None = None
    previous: str | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version it names, the most needed first."""
        return tuple(dict.fromkeys(x for x in (self.champion, self.canary, self.challenger, self.previous) if x))


class State(msgspec.Struct, frozen=True):
    """`checked_at` is when the registry last answered, 0 if never."""

    checked_at: Micros = 0
    harms: Mapping[str, HarmState] = {}


def read_state(folder: Path) -> State:
    """What is published; empty when nothing ever was.

    Raises:
        ModelRefused: the file is damaged.
    """
    try:
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=State)
    except FileNotFoundError:
        return State()
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelRefused(
            "state.json can't be read.", field=str(folder), remedy="Start the follower again."
        ) from error


def write_state(folder: Path, state: State) -> None:
    """Publish, atomically and durably."""
    write_json(folder / STATE_FILE, state)
