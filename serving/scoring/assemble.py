"""From a version's raw scores to what is returned and what is logged: tiers, reasons, flags, ages, prediction ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from features.declared.builtin import BUILTIN
from features.layout import Instants
from leads import clock
from leads.clock import Micros
from leads.predictions.batch import PredictionBatch
from leads.text import GIVEN
from leads_client.fields import Tier
from models.scores import Scores
from serving.scoring.groups import VersionGroup
from serving.scoring.own_fields import overridden
from serving.scoring.reasons.explanation import Explained, explain
from serving.scoring.results import GroupScores
from serving.scoring.texts.cache import TextCache

Explain = Literal["nothing", "leads", "all"]
# Contributions take about a millisecond a row, so "all" explains at most this many rows per harm: the highest scores.
MAX_EXPLAINED = 100
_ACCOUNT_ROW = tuple(BUILTIN.roles).index("account")
_NEVER = np.iinfo(np.int64).max


def assemble_scores(
    group: VersionGroup, scores: Scores, too_old: np.ndarray, explained: Explain, *, unseen: Sequence[int] = ()
) -> GroupScores:
    """Everything that is returned about the group's n inputs, in their order.

    Args:
        too_old: (n,) bool, whether a rule left out a stored value because of its age.
        explained: which scores get reasons.
        unseen: the positions of the inputs whose text is in a language that the version never saw.
    """
    values = scores.score.tolist()
    tiers = group.version.tiers(scores)
    reasons = _reasons(group, scores, tiers, explained)
    unexplained = {n for n in range(len(values)) if n not in reasons} if explained == "all" else set()
    row_at = group.row_at
    return GroupScores(
        group=group,
        scores=values,
        tiers=tiers,
        ages_s=_ages_s(row_at, group.context.as_of),
        degraded=_flags(group, row_at, too_old, unexplained, unseen),
        prediction_ids=_prediction_ids(group, scores),
        explained=reasons,
    )


def assemble_batch(assembled: GroupScores, scores: Scores, cache: TextCache, took_us: int) -> PredictionBatch:
    """The group's scores as the prediction log stores them.

    Args:
        took_us: µs from the start of the call until the scores were ready.
    """
    group = assembled.group
    return PredictionBatch(
        harm=group.version.harm,
        model_version=group.version.version,
        role=group.role,
        contract_hash=group.version.contract_hash,
        source=group.context.source,
        at=group.context.as_of,
        scored_at=clock.now(),
        took_us=took_us,
        prediction_ids=assembled.prediction_ids,
        subjects=[one.request.subject for one in group.inputs],
        vectors=scores.vector,
        scores=scores.score,
        tiers=assembled.tiers,
        row_at=group.row_at,
        row_roles=group.context.fetched.features.role_names,
        links=group.links,
        text_hashes=_content_hashes(group, cache),
    )


def _content_hashes(group: VersionGroup, cache: TextCache) -> list[int]:
    """Hashes of the texts; `GIVEN` where the request gave other fields that features read."""
    given = set(overridden(group.inputs, group.context.fetched.features.own_fields))
    hashes = cache.hashes(group.texts)
    return [GIVEN if one.place in given else found for one, found in zip(group.inputs, hashes, strict=True)]


def _reasons(group: VersionGroup, scores: Scores, tiers: list[Tier], explained: Explain) -> dict[int, Explained]:
    if explained == "nothing":
        return {}
    if explained == "leads":
        chosen = [n for n, tier in enumerate(tiers) if tier != "none"]
    else:
        chosen = np.argsort(-scores.score, kind="stable")[:MAX_EXPLAINED].tolist()
    parts = group.version.contributions(scores.vector[chosen])
    names, margins = group.version.input_names, scores.margin.tolist()
    features = group.context.fetched.features
    return {
        n: explain(names, scores.vector[n], part, margins[n], features) for n, part in zip(chosen, parts, strict=True)
    }


def _flags(
    group: VersionGroup, row_at: Instants, too_old: np.ndarray, unexplained: set[int], unseen: Sequence[int]
) -> list[tuple[str, ...]]:
    """The flags of each input: those it came with, and those found while scoring."""
    found: dict[int, list[str]] = {}

    def flag(which: Iterable[int], name: str) -> None:
        for n in which:
            found.setdefault(n, []).append(name)

    if not group.context.available:
        flag(range(len(group.inputs)), "features_unavailable")
    else:
        flag((row_at[:, _ACCOUNT_ROW] == 0).nonzero()[0].tolist(), "account_unknown")
    flag(too_old.nonzero()[0].tolist(), "features_old")
    if group.version.uses_text:
        flag([n for n, one in enumerate(group.inputs) if one.text is None], "text_missing")
    flag(unseen, "language_unseen")
    flag(sorted(unexplained), "not_explained")
    return [(*one.flags, *found[n]) if n in found else one.flags for n, one in enumerate(group.inputs)]


def _ages_s(row_at: Instants, as_of: Micros) -> list[float | None]:
    """Seconds since the oldest row became visible."""
    oldest = np.minimum.reduce(row_at, axis=1, where=row_at > 0, initial=_NEVER)
    # In ms, rounded.
    thousandths = ((as_of - oldest + 500) // 1_000).tolist()
    ages = zip(thousandths, oldest.tolist(), strict=True)
    return [None if at == _NEVER else max(age, 0) / 1_000 for age, at in ages]


def _prediction_ids(group: VersionGroup, scores: Scores) -> list[str]:
    """Hashes of subject, harm, version, instant and model input, so that an equal prediction gets an equal id."""
    tail = f"\0{group.version.harm}\0{group.version.version}\0{group.context.as_of}\0"
    raw, size = scores.vector.tobytes(), 4 * scores.vector.shape[1]
    return [
        hashlib.blake2b(
            f"{one.request.subject.type_id}\0{one.request.subject.id}{tail}".encode("utf-8", "replace")
            + raw[n * size : (n + 1) * size],
            digest_size=16,
        ).hexdigest()
        for n, one in enumerate(group.inputs)
    ]
