"""The reference sample for drift: inputs as serving sees them, not only those that were decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Connection, Engine

from features.declared.feature_set import FeatureSet
from leads import clock
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.db.event_log import Head
from leads.db.items import current_items
from leads.db.scans.rows import TOUCHING, scan, touched_by_row
from leads.events import ACCOUNT, ItemCreated, Subject
from leads.platform.declaration import load_platform
from leads.policies import HarmPolicy
from leads.settings import Settings
from leads.text import present, text_hash
from models.reference_columns import About
from models.text.description import describe
from models.text.sentence import open_encoder, place_of
from models.version import ModelVersion
from models.write import MAX_REFERENCE_ROWS
from training.joining import FrameSource

Floats = npt.NDArray[np.float32]

# How far back the sample reaches, and how many events are read: about so many, in no fewer than so many hours, and in
# no case more than the last.
_DAYS, _EVENTS, _FEWEST_HOURS, _MOST_EVENTS = 28, 100_000, 56, 1_000_000
# Multiples of it are spread evenly between 0 and 1, in any order that hours have in the day or week.
_GOLDEN = (5**0.5 - 1) / 2
# The fewest subjects that represent the platform.
_FEWEST = 200
# As long as the longest window that a feature counts in.
_WARM_UP: Micros = 7 * clock.DAY


class DriftReference(NamedTuple):
    """Booster inputs (r, m), their labels (r,), None where unknown, and what else is known of the rows."""

    vector: Floats
    labels: tuple[bool | None, ...]
    about: About | None = None


class Touch(NamedTuple):
    """An event at which a subject is scored."""

    subject: Subject
    at: Micros


def touches(engine: Engine, policy: HarmPolicy) -> list[Touch]:
    """The subjects of a harm's types that events of the last 28 days touched, with the latest touch of each hour.

    Monitoring counts a subject once an hour, with its latest prediction, however many events touch it. So of a long log
    whole hours are read, spread evenly over the days and over the hours of the week. Where an hour holds more events
    than can be read, its last part stands for it, and busy subjects are somewhat more frequent than in monitoring. The
    log's first days are left out where enough remains: the longest windows weren't full yet, as they never will be
    again.
    """
    with reading(engine) as connection:
        head = event_log.head(connection)
    if not head.offset:
        return []
    first = event_log.read(engine, 0, limit=1)
    warm = first[0].visible_at + _WARM_UP if first else 0
    latest: dict[tuple[Subject, int], Micros] = {}
    types = set(policy.subject_types)
    plays_of = None if ACCOUNT in types else types
    for after, up_to in _stretches(engine, head):
        for row in scan(engine, TOUCHING, after=after, up_to=up_to, plays_of=plays_of):
            for subject in touched_by_row(row):
                if subject.type_id in types:
                    latest[subject, row.visible_at // clock.HOUR] = row.visible_at
    found = [Touch(subject, at) for (subject, _), at in latest.items()]
    settled = [touch for touch in found if touch.at >= warm]
    return settled if len(settled) >= _FEWEST else found


def _stretches(engine: Engine, head: Head) -> list[tuple[int, int]]:
    """Ranges of offsets to read, after and up to."""
    with reading(engine) as connection:
        since = head.visible_at - _DAYS * clock.DAY
        start = _last_before(connection, head.offset, since)
        if head.offset - start <= _EVENTS:
            return [(start, head.offset)]
        since = event_log.visible_at(connection, start + 1)
        hours = range(since // clock.HOUR, head.visible_at // clock.HOUR + 1)
        share = max(_EVENTS / (head.offset - start), _FEWEST_HOURS / len(hours))
        chosen = [hour for hour in hours if hour * _GOLDEN % 1.0 < share]
        most = max(1, _MOST_EVENTS // max(1, len(chosen)))
        found = []
        for hour in chosen:
            after, up_to = (
                _last_before(connection, head.offset, at * clock.HOUR, low=start) for at in (hour, hour + 1)
            )
            if up_to > after:
                found.append((max(after, up_to - most), up_to))
        return found


def _last_before(connection: Connection, head: int, at: Micros, *, low: int = 0) -> int:
    """The offset of the last event that became visible before `at` (µs); `low` if none did after it."""
    high = head
    # Events become visible in the order of their offsets.
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if event_log.visible_at(connection, middle) < at else (low, middle - 1)
    return low


def spread(found: Sequence[Touch], most: int, random: np.random.Generator) -> list[Touch]:
    """At most so many touches, evenly spread over those in the order of their times."""
    ordered = sorted(found, key=lambda touch: (touch.at, touch.subject))
    if len(ordered) <= most:
        return ordered
    step = len(ordered) / most
    return [ordered[int((i + random.random()) * step)] for i in range(most)]


def sample(
    settings: Settings,
    engine: Engine,
    policy: HarmPolicy,
    version: ModelVersion,
    learned_text_scores: Mapping[int, float],
    feature_set: FeatureSet,
    *,
    frame: FrameSource,
    seed: int,
) -> DriftReference | None:
    """The version's inputs for up to 5,000 subjects at instants when they were scored, spread over 28 days.

    None if the log holds too few subjects to represent the platform.

    Args:
        learned_text_scores: out-of-fold text log-odds by text hash of the texts that the version was trained on. Its
            own text stage would be overconfident on those.
        feature_set: the features that the version was trained with.
    """
    found = touches(engine, policy)
    if len(found) < _FEWEST:
        return None
    chosen = spread(found, MAX_REFERENCE_ROWS, np.random.default_rng(seed))
    subjects = [touch.subject for touch in chosen]
    with reading(engine) as connection:
        items = current_items(connection, subjects)
    texts = [present(items[subject].text) if subject in items else None for subject in subjects]
    as_of = np.array([touch.at for touch in chosen], dtype=np.int64)
    features = frame(settings, version.contract, subjects, texts, as_of, feature_set).matrix
    vector = version.score(features, texts).vector
    if version.uses_text:
        for i, text in enumerate(texts):
            if text is not None:
                vector[i, -1] = learned_text_scores.get(text_hash(text), vector[i, -1])
    held = [items.get(subject) for subject in subjects]
    # Monitoring describes texts by their meaning wherever an encoder is set.
    encoder = open_encoder(place_of(settings)) if settings.encoder == "minilm" else None
    about = About(
        as_of,
        [subject.type_id for subject in subjects],
        [_account(subject, item) for subject, item in zip(subjects, held, strict=True)],
        describe(held, load_platform(settings.platform), encoder),
    )
    return DriftReference(vector, (None,) * len(subjects), about)


def _account(subject: Subject, item: ItemCreated | None) -> str | None:
    if subject.type_id == ACCOUNT:
        return subject.id
    return None if item is None else item.account_id
