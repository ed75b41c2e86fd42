"""The reference sample for drift: inputs as serving sees them, not only those that were decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from features.declared.feature_set import FeatureSet
from leads import clock
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.db.items import current_items
from leads.db.scans.rows import TOUCHING, scan, touched_by_row
from leads.events import ACCOUNT, Subject
from leads.policies import HarmPolicy
from leads.settings import Settings
from leads.text import present, text_hash
from models.version import ModelVersion
from models.write import MAX_REFERENCE_ROWS
from training.joining import FrameSource

Floats = npt.NDArray[np.float32]

# How many of the newest events are read, and the fewest subjects that represent the platform.
_EVENTS = 100_000
_FEWEST = 200
# As long as the longest window that a feature counts in.
_WARM_UP: Micros = 7 * clock.DAY


class DriftReference(NamedTuple):
    """Booster inputs (r, m), and their labels (r,), None where unknown."""

    vector: Floats
    labels: tuple[bool | None, ...]


class Touch(NamedTuple):
    """An event at which a subject is scored."""

    subject: Subject
    at: Micros


def touches(engine: Engine, policy: HarmPolicy) -> list[Touch]:
    """The subjects of a harm's types that the newest events touched, with the latest touch of each day (UTC).

    Drift is looked for in a day's subjects, each at its latest touch, so a busy subject stands for each of its days:
    taken once, it would be as rare here as a subject seen on a single day. The log's first days are left out where
    enough remains: the longest windows weren't full yet, as they never will be again.
    """
    with reading(engine) as connection:
        head = event_log.head(connection)
    first = event_log.read(engine, 0, limit=1)
    warm = first[0].visible_at + _WARM_UP if first else 0
    latest: dict[tuple[Subject, int], Micros] = {}
    types = set(policy.subject_types)
    plays_of = None if ACCOUNT in types else types
    for row in scan(engine, TOUCHING, after=max(head.offset - _EVENTS, 0), up_to=head.offset, plays_of=plays_of):
        for subject in touched_by_row(row):
            if subject.type_id in types:
                latest[subject, row.visible_at // clock.DAY] = row.visible_at
    found = [Touch(subject, at) for (subject, _), at in latest.items()]
    settled = [touch for touch in found if touch.at >= warm]
    return settled if len(settled) >= _FEWEST else found


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
    """The version's inputs for up to 5,000 random subjects at instants when they were scored.

    None if the log holds too few subjects to represent the platform.

    Args:
        learned_text_scores: out-of-fold text log-odds by text hash of the texts that the version was trained on. Its
            own text stage would be overconfident on those.
        feature_set: the features that the version was trained with.
    """
    found = touches(engine, policy)
    if len(found) < _FEWEST:
        return None
    random = np.random.default_rng(seed)
    chosen = [found[i] for i in sorted(random.permutation(len(found))[:MAX_REFERENCE_ROWS].tolist())]
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
    return DriftReference(vector, (None,) * len(subjects))
