"""A home in which a version that was trained on real texts scores others, watched by monitoring's own jobs.

Texts are items in the event log, scores are in the prediction log. Reviewers know the label of each flagged text two
hours after it was scored.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from benchmarks.monitoring.generated import START
from benchmarks.monitoring.text_pairs import Groups, Pair, Texts
from benchmarks.scale.events import append
from benchmarks.training.quality import SetUp, counts_of, train
from benchmarks.training.texts import Corpus, Split
from features.contract import FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import text_only
from features.offline.frames import Frame
from leads import clock
from leads.alerting.alert import Alert
from leads.clock import Micros
from leads.db.engine import open_engine, reading
from leads.db.monitoring import alerts
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.decided import Decided, Verdict
from leads.db.monitoring.rows import MetricRow
from leads.estimates.slices import slice_parts
from leads.events import ItemCreated, RecordedEvent, Subject, SubjectRef
from leads.platform.declaration import load_platform
from leads.policies import HarmPolicy, Policies, load_policies
from leads.predictions.log import PredictionBatch, PredictionLog
from leads.settings import Settings, load_settings
from models.registry.versions import VersionReader
from models.text.sentence import CachedEncoder, open_encoder, place_of
from models.version import ModelVersion
from models.write import Parts, write_version
from monitoring import scores
from monitoring.alerts.steps import JUDGING
from monitoring.drift.jobs import drift_jobs
from monitoring.performance.verdicts import VERDICTS
from monitoring.performance.weekly import PERFORMANCE
from monitoring.running.run import run
from monitoring.summaries.content import Content
from monitoring.summaries.hourly import host_id
from monitoring.summaries.reference import Reference, read_reference
from monitoring.watch.world import World
from training.data import reference
from training.fit import tiers
from training.fit.model import draft

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

VERSION = "1"
# The version is trained four weeks after the first text, and scores what comes from then on.
LEARNED_DAYS = 28
TRAINED: Micros = START + LEARNED_DAYS * clock.DAY
_REVIEWED_AFTER: Micros = 2 * clock.HOUR
# Runs are this far apart, each a while after windows have ended.
_EVERY: Micros = 12 * clock.HOUR
_SETTLED: Micros = 10 * clock.MINUTE
# Six hours have too few texts, and so has a day of any language but English.
_CHANGED = {"window_hours": (24, 72), "slices": ("type",)}
_JOBS = (*drift_jobs(), scores.JOB, PERFORMANCE, VERDICTS)


class Scored(NamedTuple):
    """n texts as the version scored them.

    Args:
        subjects: n subjects, by which the texts are in the log.
        vectors: (n, m) the booster's inputs.
        at: (n,) µs.
    """

    subjects: Sequence[Subject]
    at: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    scores: Doubles
    tiers: Sequence[str]
    labels: Bools
    groups: Groups
    authors: Sequence[str | None]

    def part(self, since: Micros, until: Micros) -> Scored:
        """Those that were scored in since ≤ at < until."""
        low, high = np.searchsorted(self.at, [since, until]).tolist()
        return Scored(
            self.subjects[low:high],
            self.at[low:high],
            self.vectors[low:high],
            self.scores[low:high],
            self.tiers[low:high],
            self.labels[low:high],
            self.groups[low:high],
            self.authors[low:high],
        )

    def followed_by(self, later: Scored) -> Scored:
        """These and later ones."""
        return Scored(
            [*self.subjects, *later.subjects],
            np.concatenate([self.at, later.at]),
            np.concatenate([self.vectors, later.vectors]),
            np.concatenate([self.scores, later.scores]),
            [*self.tiers, *later.tiers],
            np.concatenate([self.labels, later.labels]),
            np.concatenate([self.groups, later.groups]),
            [*self.authors, *later.authors],
        )


class Watched(NamedTuple):
    """What monitoring and the labels say.

    Args:
        changed, until: when the texts of the other set began, and when the last one had come, µs.
        before, after: the texts of both stretches.
        rows: the measured values of all windows, without those of slices.
        alerts: those that opened, oldest first.
    """

    changed: Micros
    until: Micros
    before: Scored
    after: Scored
    rows: list[MetricRow]
    alerts: list[Alert]


class TextWorld(World):
    """A home's world, but for the version, which is in a folder, and for the verdicts, which are known."""

    def __init__(
        self,
        settings: Settings,
        policies: Policies,
        engine: Engine,
        version: ModelVersion,
        sample: Reference,
        known: Scored,
        now: Micros,
    ) -> None:
        platform = load_platform(settings.platform)
        super().__init__(settings, policies, platform, engine, cast(VersionReader, None), now, host_id(settings))
        self._version, self._sample, self._known = version, sample, known

    def version(self, harm: str, version: str) -> ModelVersion | None:
        return self._version

    def reference(self, harm: str, version: str) -> Reference | None:
        return self._sample

    def decided(self, harm: str, since: Micros, until: Micros) -> Decided:
        some = self._known.part(since - _REVIEWED_AFTER, min(until, self.now) - _REVIEWED_AFTER)
        return Decided(tuple(_verdict(some, i) for i, tier in enumerate(some.tiers) if tier != "none"))


def watch(pair: Pair, *, minilm: bool, vectors: Path) -> Watched:
    """Train a version on a pair's first texts, let it score the others, and watch it.

    Args:
        minilm: use the sentence encoder, for the version and for the drift of meaning.
        vectors: where vectors of known texts are kept.

    Raises:
        ConfigurationError: the sentence encoder isn't installed.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        vectors.mkdir(parents=True, exist_ok=True)
        (home / "encodings").symlink_to(vectors.resolve())
        settings = load_settings(home=home, corpora="none", encoder="minilm" if minilm else "none")
        encoder = open_encoder(place_of(settings)) if minilm else None
        engine = open_engine(settings)
        try:
            return _watch(settings, engine, pair, encoder)
        finally:
            engine.dispose()


def _watch(settings: Settings, engine: Engine, pair: Pair, encoder: CachedEncoder | None) -> Watched:
    everything = load_policies(settings.policies)
    own = everything.monitoring.model_copy(update=_CHANGED)
    policies = everything.model_copy(
        update={"harms": {pair.harm: everything.harm(pair.harm)}, "monitoring": own},
    )
    times = START + (np.arange(len(pair.learned)) * LEARNED_DAYS * clock.DAY) // max(len(pair.learned), 1)
    append(settings, _events("learned", pair.learned, times), pair.name)
    version = _trained(settings, engine, policies.harms[pair.harm], pair, encoder)

    step = clock.DAY // pair.a_day
    known = []
    for name, texts, since in (
        ("before", pair.before, TRAINED),
        ("after", pair.after, TRAINED + len(pair.before) * step),
    ):
        at = since + np.arange(len(texts)) * step
        append(settings, _events(name, texts, at), pair.name)
        known.append(_scored(version, name, texts, at))
    before, after = known
    both = before.followed_by(after)
    changed, until = TRAINED + len(before.at) * step, TRAINED + len(both.at) * step

    log = PredictionLog(settings.predictions_dir, owner="worker")
    sample = read_reference(version)
    describe = Content(engine, load_platform(settings.platform), encoder)
    for now in range(TRAINED + _EVERY, until + 1, _EVERY):
        for hour in range(now - _EVERY, now, clock.HOUR):
            log.append(_batch(pair.harm, version, both.part(hour, hour + clock.HOUR)))
        log.flush()
        world = TextWorld(settings, policies, engine, version, sample, both, now + _SETTLED)
        run(world, describe=describe, only=_JOBS, then=(JUDGING,))
    log.close()
    with reading(engine) as connection:
        rows = [row for row in metric_rows.read(connection, harm=pair.harm) if _is_whole(row)]
        opened = alerts.listing(connection)[::-1]
    return Watched(changed, until, before, after, rows, opened)


def _trained(
    settings: Settings, engine: Engine, policy: HarmPolicy, pair: Pair, encoder: CachedEncoder | None
) -> ModelVersion:
    """A version with its reference sample, from what training itself calls."""
    texts = pair.learned
    corpus = Corpus(pair.harm, texts.contents, texts.labels, texts.groups)
    counts = counts_of(settings, corpus, SetUp("", encoder))
    rows = Split(np.arange(len(texts)), np.empty(0, np.int64))
    fitted, unread = train(settings, corpus, counts, rows, 0)
    thresholds = tiers.choose(fitted.scores, texts.labels, texts.groups, policy, borrowed=True)
    version = draft(pair.harm, unread.contract, fitted, thresholds)
    out_of_fold = dict(zip(texts.groups.tolist(), fitted.vector[:, -1].tolist(), strict=True))
    sample = reference.sample(settings, engine, policy, version, out_of_fold, BUILTIN, frame=_frame, seed=0)
    assert sample is not None, f"{pair.name}: too few texts to sample a reference"
    parts = Parts(
        harm=pair.harm,
        contract=version.contract,
        booster=version.booster,
        text_stage=version.text_stage,
        prior_log_odds=version.prior_log_odds,
        calibrator=version.calibrator,
        thresholds=thresholds,
        reference=sample.vector,
        reference_labels=sample.labels,
        reference_about=sample.about,
        metrics=b"{}",
        card="",
    )
    return write_version(settings.root / "version", parts, created_at=TRAINED, place=place_of(settings))


def _frame(
    settings: Settings,
    contract: FeatureContract,
    subjects: Sequence[Subject],
    texts: Sequence[str | None],
    as_of: npt.NDArray[np.int64],
    features: FeatureSet,
) -> Frame:
    """Nothing is stored about the subjects, as there are only their texts."""
    return Frame(text_only(contract, texts, features), np.zeros((len(subjects), len(features.roles)), np.int64))


def _events(name: str, texts: Texts, times: npt.NDArray[np.int64]) -> Iterator[RecordedEvent]:
    for i, (row, at) in enumerate(zip(texts.rows, times.tolist(), strict=True)):
        body = ItemCreated(SubjectRef("comment", f"{name}{i}"), _author(row.author), text=row.text)
        yield RecordedEvent(f"{name}{i}", at, at, body)


def _scored(version: ModelVersion, name: str, texts: Texts, at: npt.NDArray[np.int64]) -> Scored:
    found = version.score(text_only(version.contract, texts.contents), texts.contents)
    return Scored(
        [Subject("comment", f"{name}{i}") for i in range(len(texts))],
        at,
        found.vector,
        found.score,
        [version.tier(score) for score in found.score.tolist()],
        texts.labels,
        texts.groups,
        [_author(row.author) for row in texts.rows],
    )


def _batch(harm: str, version: ModelVersion, some: Scored) -> PredictionBatch:
    """The predictions of an hour, as one call."""
    n = len(some.at)
    at = int(some.at[-1]) if n else 0
    return PredictionBatch(
        harm=harm,
        model_version=VERSION,
        contract_hash=version.contract_hash,
        source="worker",
        at=at,
        scored_at=at,
        took_us=1_000,
        prediction_ids=[f"p-{subject.id}" for subject in some.subjects],
        subjects=some.subjects,
        vectors=some.vectors,
        scores=some.scores,
        tiers=some.tiers,  # type: ignore[arg-type]
        row_at=np.zeros((n, 1), np.int64),
        links=[(None,)] * n,
        text_hashes=some.groups.tolist(),
    )


def _verdict(some: Scored, i: int) -> Verdict:
    author = some.authors[i]
    return Verdict(
        int(some.at[i]) + _REVIEWED_AFTER,
        some.subjects[i],
        bool(some.labels[i]),
        float(some.scores[i]),
        some.tiers[i],
        VERSION,
        some.subjects[i].key if author is None else f"account:{author}",
        str(some.groups[i]),
        True,
    )


def _author(name: str | None) -> str | None:
    """An account's id: names may have any characters."""
    return None if name is None else f"a{zlib.crc32(name.encode())}"


def _is_whole(row: MetricRow) -> bool:
    return slice_parts(row.slice).keys() <= {"against", "column"}
