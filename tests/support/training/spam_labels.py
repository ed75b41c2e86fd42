"""Labels of spam: a corpus of comments, and decisions on the platform."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from leads.db import event_log
from leads.db.engine import open_engine
from leads.events import DecisionMade, Event, ItemCreated, SubjectRef
from leads.settings import Settings

SPAM = ("subscribe", "free", "click", "winner", "channel", "cash", "visit", "offer")
TALK = ("lovely", "song", "chorus", "summer", "guitar", "voice", "album", "again", "night", "drums", "live", "sings")
START = 1_750_000_000_000_000


def text(random: np.random.Generator, spam: bool) -> str:
    return " ".join(random.choice(SPAM if spam and random.random() < 0.6 else TALK) for _ in range(8))


def write_corpus(folder: Path, n: int = 400) -> None:
    """A corpus whose words tell most of its classes apart."""
    random = np.random.default_rng(3)
    rows = []
    for i in range(n):
        spam = random.random() < 0.4
        rows.append((f"{text(random, spam)} {i}", spam != (random.random() < 0.1)))
    write_comments(folder, rows)


def write_comments(folder: Path, rows: Iterable[tuple[str, bool]]) -> None:
    """Texts, and whether they are spam, as youtube-spam was published."""
    folder.joinpath("youtube-spam").mkdir(parents=True)
    with folder.joinpath("youtube-spam", "01-made.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("COMMENT_ID", "AUTHOR", "DATE", "CONTENT", "CLASS"))
        for i, (content, spam) in enumerate(rows):
            when = f"2014-01-{1 + i // 24:02d}T{i % 24:02d}:00:00"
            writer.writerow((f"c{i}", "a", when, content, int(spam)))


def decide(settings: Settings, first: int, n: int) -> None:
    """Comments that appear and are decided, as the platform's log would hold them."""
    random = np.random.default_rng(first)
    events = []
    for i in range(first, first + n):
        spam = random.random() < 0.4
        comment = SubjectRef("comment", f"p{i}")
        at = START + i * 10_000_000
        events.append(Event(f"i{i}", at, ItemCreated(comment, "a1", text=f"{text(random, spam)} p{i}")))
        verdict = "violating" if spam else "not_violating"
        events.append(Event(f"d{i}", at + 5, DecisionMade(comment, "spam", verdict, "human", "r1")))
    engine = open_engine(settings)
    with engine.begin() as connection:
        event_log.append(connection, "test", events)
    engine.dispose()
