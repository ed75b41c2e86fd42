"""The home of a simulated platform: its history, its models, and what follows, played by the platform's own clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from benchmarks.homes import forget_settings
from benchmarks.monitoring.months.events import Events, batches
from benchmarks.serving.servers import run
from features.live_rows import LiveRows
from features.offline.compaction import compacting
from features.partition import WHOLE
from leads import clock
from leads.clock import Micros
from leads.db import event_log
from leads.errors import Unavailable
from leads.policies import load_policies
from leads.predictions import compaction
from leads.settings import POLICIES_FILE, Settings, load_settings
from serving.worker.parts import database, open_scoring
from serving.worker.run import run_once
from serving.worker.shares import held
from serving.worker.worker import Worker
from simulation.config import DEFAULT_START, Period, SimulationConfig

HISTORY_DAYS = 21
_WEEKS = 7
# The harms that the simulation's texts and farms give labels for without the corpora.
HARMS = ("spam", "harassment", "stream_manipulation")
_PLATFORM = """
version: 1
types:
  account: {title: Account}
  track: {title: Track, fields: {text: {kind: text, judged: true}, duration_s: {kind: number}}}
  episode: {title: Episode, fields: {text: {kind: text, judged: true}, duration_s: {kind: number}}}
  playlist: {title: Playlist, fields: {text: {kind: text, judged: true}}}
  comment:
    title: Comment
    fields: {text: {kind: text, judged: true}, language: {kind: language}, genre: {kind: category}}
"""
# Each harm is about one type, so a slice by type would be everything again. The simulation's reviewers decide what is
# reported and a random sample, and don't work through the queue, so leads wait.
_MONITORING = """
monitoring:
  slices: [language]
  rules:
    queue_old: {enabled: false}
"""


def config_of(seed: int) -> SimulationConfig:
    """A platform of 2,000 accounts: its history, and the weeks after it, in which it goes on growing as before."""
    weeks = tuple(Period(f"week-{i + 1}", 7) for i in range(_WEEKS))
    return SimulationConfig(
        seed=seed,
        start=DEFAULT_START,
        accounts=2_000,
        periods=(Period("history", HISTORY_DAYS), *weeks),
        plays_per_day=5.0,
        comments_per_day=1.0,
        farm_share=0.06,
        account_review_share=0.08,
    )


def new_home(folder: Path) -> Settings:
    """The settings of an empty home. Commands that this process starts have them too, and its clock."""
    forget_settings()
    platform, policies = folder / "platform.yaml", folder / "policies.yaml"
    platform.write_text(_PLATFORM, encoding="utf-8")
    policies.write_text(POLICIES_FILE.read_text(encoding="utf-8") + _MONITORING, encoding="utf-8")
    chosen = {"HOME": folder / "home", "PLATFORM": platform, "POLICIES": policies, "CORPORA": "none"}
    # Two seeds run at once, and nobody waits for rows to come online.
    chosen |= {"ENCODER": "none", "THREADS": "1", "ONLINE_FLUSH_S": "0.001"}
    os.environ.update({f"LEADS_{name}": str(value) for name, value in chosen.items()})
    return load_settings()


def set_clock(at: Micros) -> None:
    """Let the clock of this process, and of those that it starts, stand at a time."""
    os.environ[clock.SETTING] = clock.to_text(at)


def train(settings: Settings) -> None:
    """Compute features from the events in the log, train the harms' versions, and promote them.

    Raises:
        Unavailable: training failed; shows the end of its log.
    """
    run_once(settings, [WHOLE])
    run(settings, settings.root / "logs" / "train.log", "train", *HARMS, "--quiet")


def append(settings: Settings, events: Events) -> None:
    """Append events to the log as their senders do."""
    with database(settings) as engine, engine.begin() as connection:
        for sender, some in batches(events):
            event_log.append_recorded(connection, sender, some)


@contextmanager
def worker(settings: Settings) -> Iterator[Callable[[], None]]:
    """The worker of a home while the context is open: folds and scores what is in the log, each time it is called.

    Raises:
        Unavailable: a harm has no champion.
    """
    policies = load_policies(settings.policies)
    with ExitStack() as opened:
        opened.enter_context(held(settings, WHOLE))
        engine = opened.enter_context(database(settings))
        rows = opened.enter_context(closing(LiveRows(settings, engine, WHOLE)))
        parts = opened.enter_context(open_scoring(settings, policies, engine))
        if missing := set(HARMS) - parts.published.lineup().champions.keys():
            raise Unavailable(f"No version of {', '.join(sorted(missing))} is champion.")
        parts.reader.use(rows.features)
        opened.enter_context(compacting(lambda: rows.segments))
        opened.enter_context(compaction.compacting(settings.predictions_dir))
        follows = Worker(policies, engine, parts.scorer, parts.published, rows)

        def follow() -> None:
            follows.run_once()
            # What reads the log next must not miss what the background would write within a second.
            parts.log.flush()

        yield follow
