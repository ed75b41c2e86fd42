"""Which versions an API process has in memory, as it says in its instance's folder, so that a restart loses none.

A process that a restart starts receives a list of the versions that the earlier ones have. If it can't load one of
them, it says so and ends before it accepts a connection: the earlier ones still have that version, whatever happened to
its files.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from leads.errors import Unavailable
from leads.files import write_json
from serving.versions.published_state import STATE_FILE

if TYPE_CHECKING:
    # Of API processes. The supervisor, which only reads what they say, stays small without them.
    from serving.runtime import Runtime
    from serving.versions.serving_status import ServingStatus

# What an API process gets from its supervisor: the instance's folder, and, in a restart, what it must be able to load.
_INSTANCE, _NEEDED = "SUPERVISOR_INSTANCE", "SUPERVISOR_NEEDED"
_FOLDER = "versions"
_EVERY_S = 1.0
_log = logging.getLogger(__name__)


class Held(msgspec.Struct, frozen=True):
    """The versions that a process has in memory.

    Args:
        serving: by harm, the version that serves as champion.
        loaded: by harm, the versions that are loaded, whatever their role.
        lacks: sentences about the versions that the process needed and couldn't load.
    """

    serving: Mapping[str, str] = {}
    loaded: Mapping[str, Sequence[str]] = {}
    lacks: Sequence[str] = ()


def variables(instance: Path, needed: Held | None = None) -> dict[str, str]:
    """Environment variables of an API process.

    Args:
        instance: the instance's folder.
        needed: what the process must be able to load, or else end.
    """
    more = {} if needed is None else {_NEEDED: msgspec.json.encode(needed).decode()}
    return {_INSTANCE: str(instance), **more}


def read_held(instance: Path, pid: int) -> Held | None:
    """What an API process says about itself; None if it hasn't said anything."""
    try:
        return msgspec.json.decode(_file(instance, pid).read_bytes(), type=Held)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def held_by(instance: Path, pids: Iterable[int]) -> Held:
    """What at least one of these API processes has in memory, as far as they say."""
    serving: dict[str, str] = {}
    loaded: dict[str, set[str]] = {}
    for pid in pids:
        one = read_held(instance, pid) or Held()
        serving |= one.serving
        for harm, versions in one.loaded.items():
            loaded.setdefault(harm, set()).update(versions)
    return Held(serving, {harm: sorted(versions) for harm, versions in loaded.items()})


def forget_others(instance: Path, pids: Iterable[int]) -> None:
    """Delete what API processes other than these have said."""
    kept = {_file(instance, pid) for pid in pids}
    for path in (instance / _FOLDER).glob("*.json"):
        if path not in kept:
            path.unlink(missing_ok=True)


def introduce(status: Sequence[ServingStatus]) -> None:
    """Say what this process has loaded. Does nothing in a process that no supervisor has started.

    Raises:
        Unavailable: it lacks a version that the processes which it should replace still have.
    """
    instance, text = os.environ.get(_INSTANCE), os.environ.pop(_NEEDED, None)
    if instance is None:
        return
    lacks = [] if text is None else missing(msgspec.json.decode(text, type=Held), status)
    held = msgspec.structs.replace(_held(status), lacks=lacks)
    _report(Path(instance), held)
    if lacks:
        raise Unavailable(f"The earlier processes still have versions that this one can't load: {' '.join(lacks)}")


async def keep_reporting(runtime: Runtime) -> None:
    """Say what this process has loaded whenever that changes."""
    instance = os.environ.get(_INSTANCE)
    last = _held(runtime.published.status())
    while instance is not None:
        await asyncio.sleep(_EVERY_S)
        now = _held(runtime.published.status())
        if now != last:
            await runtime.run(_report, Path(instance), now)
            last = now


def missing(needed: Held, status: Sequence[ServingStatus]) -> list[str]:
    """A sentence for each version that is needed and still has a role, but that this process can't load.

    If it can't load the published champion, a harm is also missing that is served with an earlier one. The previous
    champion isn't needed: nothing is scored with it.
    """
    found: dict[tuple[str, str], str] = {}
    for one in status:
        named = one.published
        scoring = [version for version in (named.champion, named.canary, named.challenger) if version]
        wanted = {version for version in scoring if version in needed.loaded.get(one.harm, ())}
        if one.harm in needed.serving and one.serving is None and named.champion:
            wanted.add(named.champion)
        for version in wanted - one.loaded:
            found[one.harm, version] = one.refused_here.get(version, "It isn't loaded yet.")
    unknown = needed.serving.keys() - {one.harm for one in status}
    found |= {(harm, needed.serving[harm]): f"{STATE_FILE} doesn't name it." for harm in unknown}
    return [f"{harm} version {version}: {_sentence(why)}" for (harm, version), why in sorted(found.items())]


def _held(status: Sequence[ServingStatus]) -> Held:
    return Held(
        {one.harm: one.serving for one in status if one.serving is not None},
        {one.harm: sorted(one.loaded) for one in status},
    )


def _report(instance: Path, held: Held) -> None:
    try:
        write_json(_file(instance, os.getpid()), held)
    except OSError as error:
        # The next restart can't compare. Requests are answered all the same.
        _log.warning("can't say which versions are loaded: %s", error)


def _file(instance: Path, pid: int) -> Path:
    return instance / _FOLDER / f"{pid}.json"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
