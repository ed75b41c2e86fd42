"""What the invented platform of docs/own-platform.md exports: its history, verdicts, and what happened since."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from leads import clock

_GOOD = ("An evening of calm music", "News of the week in ten minutes", "Interview with a gardener", "Bread at home")
_BAD = ("Win free coins now, visit my page", "Cheap followers guaranteed", "Double your money today with this trick")
_EPISODES, _NEW = 1_500, 40


def export(folder: Path, *, seed: int = 3) -> None:
    """Write history.jsonl, verdicts.csv and new.jsonl. Every fourth new episode is by an account that follows a lot."""
    rng = random.Random(seed)
    end = clock.now() - clock.HOUR
    start = end - _EPISODES * 5 * clock.MINUTE
    scammers = {f"a{i}" for i in range(300) if i % 7 == 0}
    events: list[tuple[int, dict[str, Any]]] = [
        (start + i, {"typeId": "show", "id": f"s{i}", "data": {"accountId": f"a{i}", "name": f"Show {i}"}})
        for i in range(50)
    ]
    verdicts = []
    for i in range(_EPISODES):
        account = f"a{rng.randrange(300)}"
        bad = account in scammers and rng.random() < 0.8
        at = start + clock.HOUR + i * 5 * clock.MINUTE
        events += _episode(rng, f"p{i}", account, bad, at)
        verdicts.append((f"p{i}", "yes" if bad else "no", clock.to_text(at + clock.MINUTE)))
    new = [event for i in range(_NEW) for event in _episode(rng, f"n{i}", f"b{i}", i % 4 == 0, end + i * clock.SECOND)]
    _write(folder / "history.jsonl", events, recorded=True)
    _write(folder / "new.jsonl", new, recorded=False)
    with (folder / "verdicts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "violating", "judged_at"), *verdicts])


def _episode(rng: random.Random, id_: str, account: str, bad: bool, at: int) -> list[tuple[int, dict[str, Any]]]:
    """An episode, and what its account did before."""
    follows = rng.randrange(8, 20) if bad else rng.randrange(2)
    host = rng.randrange(20) if bad else rng.randrange(20, 250)
    title = f"{rng.choice(_BAD if bad and rng.random() < 0.6 else _GOOD)}, part {rng.randrange(900)}"
    data = {
        "accountId": account,
        "parent": {"typeId": "show", "id": f"s{rng.randrange(50)}"},
        "title": title,
        "explicit": rng.random() < (0.6 if bad else 0.1),
    }
    found: list[tuple[int, dict[str, Any]]] = [
        (
            at - rng.randrange(1, 3_000) * clock.SECOND,
            {"kind": "follow", "accountId": account, "subject": {"typeId": "show", "id": f"s{rng.randrange(50)}"}},
        )
        for _ in range(follows)
    ]
    found.append((at - 3 * clock.SECOND, {"kind": "login", "accountId": account, "data": {"ip": f"192.0.2.{host}"}}))
    found.append((at, {"typeId": "episode", "id": id_, "data": data}))
    return found


def _write(path: Path, events: Iterable[tuple[int, dict[str, Any]]], *, recorded: bool) -> None:
    lines = []
    for i, (at, event) in enumerate(sorted(events, key=lambda one: one[0])):
        time = clock.to_text(at)
        seen = {"visibleAt": time} if recorded else {}
        lines.append(json.dumps({**event, "eventId": f"{path.stem}-{i}", "occurredAt": time, **seen}) + "\n")
    path.write_text("".join(lines))
