"""One harm's share of a scoring call: the subjects that one model version scores together, as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from features.contract import Column, FeatureContract
from features.evaluate.columns import plan_of
from features.evaluate.plan import Evaluated
from features.layout import DAY_S, ROLES, Instants
from features.online.reader import Fetched
from leads import clock
from leads.clock import SECOND, Micros
from leads.errors import Unavailable
from leads.predictions.batch import PredictionBatch
from leads_client.fields import Tier
from models.version import ModelVersion, Scores
from serving.scoring.answers import ErrorEntry, GroupScores
from serving.scoring.inputs import Input
from serving.scoring.reasons import Explained, explain
from serving.scoring.text_cache import TextCache, Texts

Explain = Literal["nothing", "leads", "all"]
# Contributions take about a millisecond a row: so many rows per harm are explained when all are asked for.
MAX_EXPLAINED = 100
_ACCOUNT_ROW = tuple(ROLES).index("account")
_EXPOSURE = FeatureContract("exposure", (Column("item.plays_24h"), Column("account.plays_24h")), "")


@dataclass(frozen=True)
class Group:
    """n inputs under one harm.

    Args:
        role: the alias under which the version answers.
        picked: (n,) their places in the call: in `fetched` and `texts`.
        available: whether the online store answered; when not, `fetched` is all missing.
    """

    version: ModelVersion
    role: str
    inputs: Sequence[Input]
    picked: tuple[int, ...]
    fetched: Fetched
    texts: Texts
    available: bool
    as_of: Micros
    source: Literal["api", "worker"]

    def evaluate(self, contract: FeatureContract, cache: TextCache) -> Evaluated:
        """A contract's columns, and which inputs its rules refuse."""
        plan, texts = plan_of(contract), self.own_texts
        counts = cache.counts(texts) if plan.reads_text else None
        return plan.evaluate(self._packed(), self._instants(), texts.texts, counts)

    def vector(self, features: Evaluated, cache: TextCache) -> np.ndarray:
        """(n, m) the booster's input."""
        version = self.version
        if not version.uses_text:
            return features.matrix
        column = cache.scores(f"{version.harm}:{version.version}", self.own_texts, version.text_scores)
        return np.column_stack((features.matrix, column))

    def refusal(self, n: int, column: int) -> ErrorEntry:
        """Why an input has no score: its contract refuses one without this column, or with so old a value."""
        refusing = self.version.contract.columns[column]
        limit = "" if refusing.max_age_s is None else f" no older than {refusing.max_age_s / DAY_S:g} days"
        error = Unavailable(
            f"{self.version.harm} isn't scored without {refusing.name}{limit}.",
            field=refusing.name,
            remedy="Check that the worker runs: leads status. policies.yaml says what a missing feature means.",
        )
        one = self.inputs[n]
        return ErrorEntry(one.place, one.request.subject, self.version.harm, error)

    def only(self, kept: Sequence[int]) -> Group:
        """The same with some of its inputs."""
        return self.given_to(self.version, self.role, kept)

    def given_to(self, version: ModelVersion, role: str, kept: Sequence[int]) -> Group:
        """Some of its inputs, scored by another version."""
        inputs = [self.inputs[n] for n in kept]
        picked = tuple([self.picked[n] for n in kept])
        return replace(self, version=version, role=role, inputs=inputs, picked=picked)

    def answer(self, scores: Scores, too_old: np.ndarray, explained: Explain) -> GroupScores:
        """Everything that is said of the inputs, in their order."""
        values = scores.score.tolist()
        tiers = [self.version.tier(score) for score in values]
        reasons = self._reasons(scores, tiers, explained)
        unexplained = {n for n in range(len(values)) if n not in reasons} if explained == "all" else set()
        row_at: list[list[Micros]] = self.row_at.tolist()
        return GroupScores(
            group=self,
            scores=values,
            tiers=tiers,
            ages_s=self._ages(row_at),
            degraded=self._degraded(row_at, too_old, unexplained),
            prediction_ids=self._prediction_ids(scores),
            explained=reasons,
        )

    def batch(self, answered: GroupScores, scores: Scores, cache: TextCache, took_us: int) -> PredictionBatch:
        """The same, as the prediction log keeps it."""
        links = self.fetched.links
        return PredictionBatch(
            harm=self.version.harm,
            model_version=self.version.version,
            role=self.role,
            contract_hash=self.version.contract_hash,
            source=self.source,
            at=self.as_of,
            scored_at=clock.now(),
            took_us=took_us,
            prediction_ids=answered.prediction_ids,
            subjects=[one.request.subject for one in self.inputs],
            vectors=scores.vector,
            scores=scores.score,
            tiers=answered.tiers,
            row_at=self.row_at,
            links=[links[i] for i in self.picked],
            text_hashes=cache.hashes(self.own_texts),
        )

    def exposures(self) -> list[float]:
        """1 + ln(1 + plays in 24 h): of an item by others, of an account by itself."""
        plays = plan_of(_EXPOSURE).evaluate(self._packed(), self._instants(), self.own_texts.texts).matrix
        of_account = [one.request.subject.type_id == "account" for one in self.inputs]
        counted = np.nan_to_num(np.where(of_account, plays[:, 1], plays[:, 0]).astype(np.float64))
        exposures: list[float] = np.round(1 + np.log1p(counted), 6).tolist()
        return exposures

    @property
    def row_at(self) -> Instants:
        """(n, roles) when the rows behind the scores became visible, 0 where there are none."""
        return self.fetched.row_at if self._whole else self.fetched.row_at[list(self.picked)]

    @property
    def _whole(self) -> bool:
        """Whether these are all inputs of the call, which then come in its order."""
        return len(self.picked) == len(self.fetched.row_at)

    @property
    def own_texts(self) -> Texts:
        """(n) the inputs' texts."""
        return self.texts if self._whole else self.texts.at(self.picked)

    def _packed(self) -> dict[str, np.ndarray]:
        if self._whole:
            return self.fetched.packed
        picked = list(self.picked)
        return {role: stored[picked] for role, stored in self.fetched.packed.items()}

    def _instants(self) -> Instants:
        return np.full(len(self.inputs), self.as_of, np.int64)

    def _reasons(self, scores: Scores, tiers: list[Tier], explained: Explain) -> dict[int, Explained]:
        if explained == "nothing":
            return {}
        if explained == "leads":
            chosen = [n for n, tier in enumerate(tiers) if tier != "none"]
        else:
            chosen = np.argsort(-scores.score, kind="stable")[:MAX_EXPLAINED].tolist()
        parts = self.version.contributions(scores.vector[chosen])
        names, margins = self.version.input_names, scores.margin.tolist()
        return {n: explain(names, scores.vector[n], part, margins[n]) for n, part in zip(chosen, parts, strict=True)}

    def _degraded(
        self, row_at: list[list[Micros]], too_old: np.ndarray, unexplained: set[int]
    ) -> list[tuple[str, ...]]:
        """Flags by input; most have only those that they came with."""
        more: dict[int, list[str]] = {}

        def flag(which: Iterable[int], name: str) -> None:
            for n in which:
                more.setdefault(n, []).append(name)

        if not self.available:
            flag(range(len(self.inputs)), "features_unavailable")
        else:
            flag([n for n, row in enumerate(row_at) if not row[_ACCOUNT_ROW]], "account_unknown")
        if too_old.any():
            flag(np.flatnonzero(too_old).tolist(), "features_old")
        if self.version.uses_text:
            flag([n for n, one in enumerate(self.inputs) if one.text is None], "text_missing")
        flag(sorted(unexplained), "not_explained")
        return [(*one.flags, *more[n]) if n in more else one.flags for n, one in enumerate(self.inputs)]

    def _ages(self, row_at: list[list[Micros]]) -> list[float | None]:
        """Seconds since the oldest row became visible. In Python: for a few rows it is faster than NumPy."""
        found: list[float | None] = []
        for row in row_at:
            known = [at for at in row if at]
            found.append(round(max(self.as_of - min(known), 0) / SECOND, 3) if known else None)
        return found

    def _prediction_ids(self, scores: Scores) -> list[str]:
        """The same for the same act: subject, harm, version, instant and input."""
        tail = f"\0{self.version.harm}\0{self.version.version}\0{self.as_of}\0"
        raw, size = scores.vector.tobytes(), 4 * scores.vector.shape[1]
        return [
            hashlib.blake2b(
                f"{one.request.subject.type_id}\0{one.request.subject.id}{tail}".encode("utf-8", "replace")
                + raw[n * size : (n + 1) * size],
                digest_size=16,
            ).hexdigest()
            for n, one in enumerate(self.inputs)
        ]
