"""One harm's share of a scoring call: the subjects that one model version scores together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from features import columns
from features.columns import Evaluated
from features.online import Fetched
from features.rows import ACCOUNT, DAY_S, ITEM, ROLES
from features.windows import Rows
from leads.clock import SECOND, Micros
from leads.errors import Unavailable
from leads.predictions import PredictionBatch
from leads.records import Tier
from leads.text import text_hash
from models.version import ModelVersion, Scores
from serving.answers import ErrorEntry, ScoreAnswer
from serving.inputs import Input
from serving.reasons import Reason, explain

Explain = Literal["nothing", "leads", "all"]
# Contributions take about a millisecond a row: so many rows per harm are explained when all are asked for.
MAX_EXPLAINED = 100
_ACCOUNT_ROW = tuple(ROLES).index("account")


@dataclass(frozen=True)
class Group:
    """n inputs under one harm.

    Args:
        picked: (n,) their places in `fetched`.
        available: whether the online store answered; when not, `fetched` is all missing.
    """

    version: ModelVersion
    inputs: Sequence[Input]
    picked: tuple[int, ...]
    fetched: Fetched
    available: bool
    as_of: Micros

    def features(self) -> Evaluated:
        """The contract's columns, and which inputs its rules refuse."""
        packed = {role: stored[list(self.picked)] for role, stored in self.fetched.packed.items()}
        texts = [one.text for one in self.inputs]
        return columns.evaluate(self.version.contract, packed, np.full(len(texts), self.as_of, np.int64), texts)

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
        return replace(self, inputs=[self.inputs[n] for n in kept], picked=tuple(self.picked[n] for n in kept))

    def answers(self, scores: Scores, too_old: Sequence[bool], explained: Explain) -> list[ScoreAnswer]:
        """One answer per input, in their order."""
        values = scores.score.tolist()
        tiers = [self.version.tier(score) for score in values]
        reasons = self._reasons(scores, tiers, explained)
        ages, exposures = self._ages(), self._exposures()
        return [
            ScoreAnswer(
                index=one.place,
                subject=one.request.subject,
                harm=self.version.harm,
                score=values[n],
                tier=tiers[n],
                model=self.version.name,
                version=self.version.version,
                contract_hash=self.version.contract.hash,
                at=self.as_of,
                oldest_feature_age_s=ages[n],
                degraded=self._degraded(n, too_old[n], explained == "all" and n not in reasons),
                exposure=exposures[n],
                prediction_id=self._prediction_id(one, scores.vector[n]),
                reasons=reasons.get(n),
            )
            for n, one in enumerate(self.inputs)
        ]

    def predictions(
        self,
        scores: Scores,
        answers: Sequence[ScoreAnswer],
        scored_at: Micros,
        took_us: int,
        source: Literal["api", "worker"],
    ) -> PredictionBatch:
        """The same, as the prediction log keeps them."""
        texts = [one.text for one in self.inputs]
        return PredictionBatch(
            harm=self.version.harm,
            model_version=self.version.version,
            contract_hash=self.version.contract.hash,
            source=source,
            at=self.as_of,
            scored_at=scored_at,
            took_us=took_us,
            prediction_ids=[answer.prediction_id for answer in answers],
            subjects=[one.request.subject for one in self.inputs],
            vectors=scores.vector,
            scores=scores.score,
            tiers=[answer.tier for answer in answers],
            row_at=self.fetched.row_at[list(self.picked)],
            links=[self.fetched.links[place] for place in self.picked],
            text_hashes=[0 if text is None else text_hash(text) for text in texts],
        )

    def _reasons(self, scores: Scores, tiers: list[Tier], explained: Explain) -> dict[int, tuple[Reason, ...]]:
        if explained == "nothing":
            return {}
        if explained == "leads":
            chosen = [n for n, tier in enumerate(tiers) if tier != "none"]
        else:
            chosen = np.argsort(-scores.score, kind="stable")[:MAX_EXPLAINED].tolist()
        parts = self.version.contributions(scores.vector[chosen])
        names = self.version.input_names
        return {n: explain(names, scores.vector[n], part) for n, part in zip(chosen, parts, strict=True)}

    def _degraded(self, n: int, too_old: bool, unexplained: bool) -> tuple[str, ...]:
        one = self.inputs[n]
        flags = list(one.flags)
        if not self.available:
            flags.append("features_unavailable")
        elif not self.fetched.row_at[self.picked[n], _ACCOUNT_ROW]:
            flags.append("account_unknown")
        if too_old:
            flags.append("features_old")
        if self.version.uses_text and one.text is None:
            flags.append("text_missing")
        if unexplained:
            flags.append("not_explained")
        return tuple(flags)

    def _ages(self) -> list[float | None]:
        row_at = self.fetched.row_at[list(self.picked)]
        never = np.iinfo(np.int64).max
        oldest: list[int] = np.where(row_at > 0, row_at, never).min(axis=1).tolist()
        return [round(max(0, self.as_of - at) / SECOND, 3) if at != never else None for at in oldest]

    def _exposures(self) -> list[float]:
        """1 + ln(1 + plays in 24 h): of an item by others, of an account by itself."""
        at = np.full(len(self.picked), self.as_of, np.int64)
        plays = np.zeros(len(self.picked), np.float32)
        for role, layout in (("item", ITEM), ("account", ACCOUNT)):
            mine = np.array([(one.request.subject.type_id == "account") == (layout is ACCOUNT) for one in self.inputs])
            counted = Rows(layout, self.fetched.packed[role][list(self.picked)], at).count("plays", "24h")
            plays = np.where(mine, counted, plays)
        exposures: list[float] = np.round(1 + np.log1p(np.nan_to_num(plays.astype(np.float64))), 6).tolist()
        return exposures

    def _prediction_id(self, one: Input, vector: npt.NDArray[np.float32]) -> str:
        """The same for the same act: subject, harm, version, instant and input."""
        subject = one.request.subject
        about = f"{subject.type_id}\0{subject.id}\0{self.version.harm}\0{self.version.version}\0{self.as_of}\0"
        return hashlib.blake2b(about.encode("utf-8", "replace") + vector.tobytes(), digest_size=16).hexdigest()
