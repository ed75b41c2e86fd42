"""`published/state.json`: which verified versions the follower has published for the processes of this host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from leads.clock import Micros
from leads.errors import ModelRefused
from leads.files import is_locked, write_json

STATE_FILE = "state.json"
# Names the version being verified, so that the next follower knows which one crashed this one.
TRYING_FILE = ".trying"
# Held by the follower that runs. Others try again.
LOCK_FILE = ".follower.lock"


class HarmState(msgspec.Struct, frozen=True, omit_defaults=False):
    """What is published for one harm. Roles name versions; None if no version has the role.

    Args:
        champion: the version that answers.
        refused: by version, why a version that an alias points to isn't published.
        aliases: the version each MLflow alias points to.
        canary: the version that answers for a share of the subjects; never the champion.
        challenger: the version that scores in shadow; never the champion.
        previous: the previous champion, kept loaded for a roll-back.
        canary_share: the share of subjects that the canary was started with; None if an earlier release started it.
        damaged: by version, what is wrong with the files of a published version, and why they can't be fetched again.
    """

    champion: str | None = None
    refused: Mapping[str, str] = {}
    aliases: Mapping[str, str] = {}
    canary: str | None = None
    challenger: str | None = None
    previous: str | None = None
    canary_share: float | None = None
    damaged: Mapping[str, str] = {}

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that has a role, in the order of importance."""
        return tuple(dict.fromkeys(x for x in (self.champion, self.canary, self.challenger, self.previous) if x))


class PublishedState(msgspec.Struct, frozen=True):
    """The whole file.

    Args:
        checked_at: when the registry last responded, in µs since epoch; 0 if never.
        policies, platform: the `digest` of the files that the service has read; empty in states of earlier releases.
    """

    checked_at: Micros = 0
    harms: Mapping[str, HarmState] = {}
    policies: str = ""
    platform: str = ""


def read_state(folder: Path) -> PublishedState:
    """Read the published state; an empty state if nothing was published yet.

    Raises:
        ModelRefused: the file is damaged or unreadable.
    """
    try:
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=PublishedState)
    except FileNotFoundError:
        return PublishedState()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelRefused(
            f"{STATE_FILE} is damaged or unreadable.", field=str(folder), remedy="Restart the follower."
        ) from error


def is_followed(folder: Path) -> bool:
    """Whether a follower runs on this folder, so probably the rest of `leads serve` too."""
    return is_locked(folder / LOCK_FILE)


def trying(folder: Path) -> str:
    """The harm and version that the follower verifies now; empty if it verifies none."""
    try:
        return (folder / TRYING_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def verified_so_far(folder: Path) -> object:
    """Changes with every version that the follower fetches or verifies; it publishes them all at once at the end."""
    return sorted(map(str, folder.glob("*/*"))), trying(folder)


def write_state(folder: Path, state: PublishedState) -> None:
    """Publish a state, atomically and durably."""
    write_json(folder / STATE_FILE, state)
