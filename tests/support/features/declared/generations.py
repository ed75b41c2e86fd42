"""Declared features, a history with the events that they count, and a worker's rows of both generations."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sqlalchemy.engine import Engine

from features.declared import building, generations
from features.declared.generations import DeclaredFeatures, declared_features
from leads import clock
from leads.db import event_log
from leads.db.engine import reading
from leads.events import Happened, RecordedEvent, SubjectRef
from leads.platform.declaration import Platform
from leads.settings import Settings
from tests.support.features.history import START, history

_BASE = """
version: 1
types:
  account: {title: Account}
  track: {title: Track, fields: {text: {kind: text, judged: true}}}
  comment: {title: Comment, fields: {text: {kind: text, judged: true}}}
events:
  follow: {title: Follow, about: [account]}
  login:
    title: Log-in
    about: [account]
    fields: {ip: {kind: category}, failed: {kind: flag}, seconds: {kind: number, unit: seconds}}
keys:
  ip: {title: Address, from: login.ip}
"""
FEATURES = {
    "account.follows_7d": {"count": "follow", "window": "7d", "meaning": "follows in 7 days"},
    "account.followers_7d": {
        "distinct": "follow.who",
        "by": "about",
        "window": "7d",
        "meaning": "new followers in 7 days",
    },
    "account.failed_share_24h": {
        "share": "login",
        "where": "failed",
        "window": "24h",
        "meaning": "share of log-ins in 24 hours that failed",
    },
    "account.last_login_s": {"last": "login.seconds", "window": "ever", "meaning": "length of the last session"},
    "ip.accounts_24h": {
        "distinct": "login.who",
        "window": "24h",
        "meaning": "accounts that logged in from its address in 24 hours",
    },
    "account.follow_rate": {
        "formula": "account.follows_7d / (account.plays_7d + 1)",
        "unit": "ratio",
        "meaning": "follows per play",
    },
}


def platform(**features: dict[str, object]) -> Platform:
    """A platform with these features; by default, `FEATURES`."""
    import yaml

    declared = {name.replace("__", "."): one for name, one in features.items()} or FEATURES
    return Platform.model_validate({**yaml.safe_load(_BASE), "features": declared})


def declared(**features: dict[str, object]) -> DeclaredFeatures:
    """What that platform declares of features."""
    return declared_features(platform(**features))


def with_declared(n: int, *, seed: int = 7, first: int = 0) -> Iterator[RecordedEvent]:
    """The history of `tests.support.features.history`, with a follow or log-in after every third event."""
    rng = random.Random(f"{seed} declared")
    for i, event in enumerate(history(n, seed=seed)):
        if i < first:
            continue
        yield event
        if i % 3:
            continue
        account = f"a{rng.randrange(300)}"
        late = rng.choice([0, 0, 60, 7_200]) * clock.SECOND
        if rng.random() < 0.5:
            about = SubjectRef("account", f"a{rng.randrange(300)}")
            body = Happened(about, "follow", account)
        else:
            fields = {"ip": f"ip{rng.randrange(80)}", "failed": rng.random() < 0.3, "seconds": rng.random() * 1e4}
            body = Happened(SubjectRef("account", account), "login", account, fields)
        yield RecordedEvent(f"d{i}", max(event.visible_at - late, START), event.visible_at, body)


def log(engine: Engine, events: Iterator[RecordedEvent]) -> int:
    """Append events; returns when the newest became visible."""
    with engine.begin() as connection:
        return event_log.append_recorded(connection, "test", list(events)).head.visible_at


def apply(settings: Settings, engine: Engine, wanted: DeclaredFeatures) -> int:
    """Do what `leads features apply` does where no worker runs; returns the generation's number."""
    from serving.worker.run import bring_features_live

    generation = building.start(settings, engine, wanted)
    building.build(settings, engine, generation, on_progress=lambda done, total: None)
    bring_features_live(settings)
    with reading(engine) as connection:
        assert generations.live_generation(connection).number == generation.number
    return generation.number
