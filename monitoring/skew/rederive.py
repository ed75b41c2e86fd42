"""Re-derive the features of logged predictions: rows from the segments, texts from the event log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from sqlalchemy.engine import Engine

from features.contract import FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import evaluate
from features.layout import Instants, Layout, Matrix
from features.offline.frames import rows_at
from features.offline.join import locate, read_links
from features.offline.segments import TIMESTAMP, segment_files
from features.views.history import first_after
from features.views.layout import OwnView
from leads.clock import Micros
from leads.content import judged_text
from leads.db.engine import reading
from leads.db.items import contents
from leads.settings import Settings
from leads.text import text_hash
from monitoring.skew.logged import NOT_READ, LoggedPredictions

Flags = npt.NDArray[np.bool_]
# Every generation of features begins with these roles.
ROLES = tuple(BUILTIN.roles)


class JudgedTexts(NamedTuple):
    """The texts that n predictions may have scored. They are never shown or stored.

    Args:
        candidates: per prediction, the texts with the logged hash, most likely first; several can share one because
            hashes ignore case and spacing. (None,) without a text or a match.
        unknown: (n,) the text is not in the event log, for example because it came with the request.
        ahead: (n,) the matching texts became visible only after `at`.
    """

    candidates: list[tuple[str | None, ...]]
    unknown: Flags
    ahead: Flags


@dataclass(frozen=True)
class Rederived:
    """What the segments and the event log give for n predictions. Times in µs.

    Args:
        matrix: (n, columns) float32 features from the rows that were served.
        served: those rows by role, each (n, width).
        served_at: (n, roles) when they became visible; differs from the logged time if the segments lack the row.
        maybe_outdated: (k,) the predictions whose served rows may not have been the newest.
        newest: the newest visible rows of these by role, each (k, width).
        newest_at: (k, roles) when they became visible.
        outdated: (k, roles) whether a row newer than the served one was visible.
        lag: (k, roles) how long the first such row had been visible.
        links_differ: (n,) whether the links stored at `at` differ from those followed.
        features: those that are live.
    """

    matrix: Matrix
    served: dict[str, Matrix]
    served_at: Instants
    maybe_outdated: Instants
    newest: dict[str, Matrix]
    newest_at: Instants
    outdated: Flags
    lag: Instants
    links_differ: Flags
    texts: JudgedTexts
    features: FeatureSet


def rederive(
    settings: Settings,
    engine: Engine,
    contract: FeatureContract,
    predictions: LoggedPredictions,
    features: FeatureSet,
) -> Rederived:
    """Join the rows point-in-time, find the texts, and evaluate the contract.

    Args:
        predictions: with the times of as many rows as the features have roles.

    Raises:
        NotFound: no features have been derived yet.
    """
    # A role that an earlier generation of features didn't have was not read.
    was_read = predictions.row_at != NOT_READ
    predictions = replace(predictions, row_at=np.where(was_read, predictions.row_at, 0))
    at = np.where(was_read, predictions.at[:, None], 0)
    rows = rows_at(settings, predictions.subjects, at, features=features)
    links_differ = np.array([a != b for a, b in zip(rows.links, predictions.links, strict=True)], np.bool_)
    # Most served rows were the newest: one join gives both, and only the other rows are joined again.
    maybe_outdated = np.flatnonzero(links_differ | (rows.row_at != predictions.row_at).any(axis=1))
    some = predictions.take(maybe_outdated)
    served = rows_at(settings, some.subjects, some.row_at, links=some.links, features=features, available=some.at)
    newest = rows_at(settings, some.subjects, at[maybe_outdated], links=some.links, features=features)
    for role, packed in served.packed.items():
        rows.packed[role][maybe_outdated] = packed
    rows.row_at[maybe_outdated] = served.row_at
    outdated = newest.row_at > some.row_at
    # The account's row names the device: with another account row the device is another one, not outdated.
    roles = list(features.roles)
    for role, source, _ in features.followed:
        by = roles.index(source)
        for one in _with_views(role, features):
            outdated[:, roles.index(one)] &= newest.row_at[:, by] == some.row_at[:, by]
    texts = _texts(engine, contract, predictions, features)
    return Rederived(
        matrix=evaluate_texts(contract, rows.packed, predictions, texts, features),
        served=rows.packed,
        served_at=rows.row_at,
        maybe_outdated=maybe_outdated,
        newest=newest.packed,
        newest_at=newest.row_at,
        outdated=outdated,
        lag=row_lag(settings, some, outdated, features),
        links_differ=links_differ,
        texts=texts,
        features=features,
    )


def _texts(
    engine: Engine, contract: FeatureContract, predictions: LoggedPredictions, features: FeatureSet
) -> JudgedTexts:
    if any(view_of(name, features) is None for name in contract.names):
        return judged_texts(engine, predictions)
    none = np.zeros(len(predictions), np.bool_)
    return JudgedTexts([(None,)] * len(predictions), none, none)


def judged_texts(engine: Engine, predictions: LoggedPredictions) -> JudgedTexts:
    """Find the texts in the event log whose hash was logged."""
    n = len(predictions)
    found = JudgedTexts([(None,)] * n, np.zeros(n, np.bool_), np.zeros(n, np.bool_))
    with reading(engine) as connection:
        subjects = {predictions.subjects[i] for i, digest in enumerate(predictions.text_hash) if digest}
        stored = contents(connection, subjects)
    versions = {
        subject: [(one.visible_at, text, text_hash(text)) for one in versions for text in (judged_text(one.item),)]
        for subject, versions in stored.items()
    }
    for i, digest in enumerate(predictions.text_hash):
        if not digest:
            continue
        matches = [(at, text) for at, text, other in versions.get(predictions.subjects[i], ()) if other == digest]
        visible = [text for at, text in matches if at <= predictions.at[i]]
        found.unknown[i], found.ahead[i] = not matches, bool(matches) and not visible
        if matches:
            found.candidates[i] = tuple(dict.fromkeys(visible[::-1] or [text for _, text in matches]))
    return found


def evaluate_texts(
    contract: FeatureContract,
    packed: dict[str, Matrix],
    predictions: LoggedPredictions,
    texts: JudgedTexts,
    features: FeatureSet = BUILTIN,
) -> Matrix:
    """(n, columns) the contract's features, with the first candidate text that reproduces the served ones."""
    served = predictions.vector[:, : len(contract.columns)]
    first = [candidates[0] for candidates in texts.candidates]
    matrix = evaluate(contract, packed, predictions.at, first, features).matrix
    of_text = np.array([view_of(name, features) is None for name in contract.names])
    for turn in range(1, max(map(len, texts.candidates))):
        differ = np.flatnonzero((~same(matrix, served) & of_text).any(axis=1))
        retry = np.array([i for i in differ if len(texts.candidates[i]) > turn], np.int64)
        if not len(retry):
            break
        rows = {role: rows[retry] for role, rows in packed.items()}
        tried = [texts.candidates[i][turn] for i in retry]
        other = evaluate(contract, rows, predictions.at[retry], tried, features).matrix
        fits = (same(other, served[retry]) | ~of_text).all(axis=1)
        matrix[retry[fits]] = other[fits]
    return matrix


def row_lag(
    settings: Settings, predictions: LoggedPredictions, outdated: Flags, features: FeatureSet = BUILTIN
) -> Instants:
    """(n, roles) µs for which the first row newer than the served one had been visible; 0 where not outdated.

    The first, not the newest: a busy entity whose row is stuck would otherwise always look fresh.
    """
    keys: dict[str, Sequence[str | None]] = {
        "item": [subject.key for subject in predictions.subjects],
        "account": [links.account_id for links in predictions.links],
        "parent": [links.parent_key for links in predictions.links],
        "bucket_0": [links.bucket_0 for links in predictions.links],
        "bucket_1": [links.bucket_1 for links in predictions.links],
    }
    roles = list(features.roles)
    for role, source, place in features.followed:
        wanted: Flags = np.asarray(outdated[:, [roles.index(one) for one in _with_views(role, features)]].any(axis=1))
        keys[role] = _served_links(settings, predictions, keys[source], source, place, wanted, features)
    keys |= {view.view: keys[view.source] for view in features.views}
    lag = np.zeros(outdated.shape, np.int64)
    for r, (role, layout) in enumerate(features.roles.items()):
        which = np.flatnonzero(outdated[:, r])
        if len(which):
            rows = [str(keys[role][int(i)]) for i in which]
            at = predictions.at[which]
            lag[which, r] = at - _first_after(settings, features, layout, rows, predictions.row_at[which, r], at)
    return lag


def _with_views(role: str, features: FeatureSet) -> list[str]:
    """The role, and those of own views about the same entities."""
    return [role, *(view.view for view in features.views if view.source == role)]


def _served_links(
    settings: Settings,
    predictions: LoggedPredictions,
    keys: Sequence[str | None],
    source: str,
    place: int,
    wanted: Flags,
    features: FeatureSet,
) -> list[str | None]:
    """The keys that the served rows of a role link to; None for predictions that aren't wanted.

    Args:
        keys: of the role's rows.
        place: of the link among the row's links.
    """
    found: list[str | None] = [None] * len(predictions)
    which = np.flatnonzero(wanted)
    if len(which):
        layout = features.roles[source]
        at = predictions.row_at[which, list(features.roles).index(source)]
        places = locate(segment_files(settings, layout, features), layout, [keys[int(i)] for i in which], at)
        for i, links in zip(which.tolist(), read_links(layout, places), strict=True):
            found[i] = links[place]
    return found


def _first_after(
    settings: Settings, features: FeatureSet, layout: Layout, keys: Sequence[str], after: Instants, up_to: Instants
) -> Instants:
    """(k,) when each key's first row newer than `after`, (k,), became visible; there is one up to `up_to`, (k,)."""
    if isinstance(layout, OwnView):
        return first_after(layout, keys, after, up_to)
    table = _row_times(settings, features, layout, set(keys), int(after.min()), int(up_to.max()))
    by_key: dict[str, list[int]] = {}
    for key, at in zip(table["key"].to_pylist(), table["at"].to_pylist(), strict=True):
        by_key.setdefault(key, []).append(at)
    times = {key: np.unique(unsorted) for key, unsorted in by_key.items()}
    first = [times[key][np.searchsorted(times[key], at, "right")] for key, at in zip(keys, after, strict=True)]
    return np.array(first, np.int64)


def _row_times(
    settings: Settings, features: FeatureSet, layout: Layout, keys: set[str], after: Micros, up_to: Micros
) -> pa.Table:
    """`key` and `at` (µs) of the stored rows with the given keys and after < `at` ≤ up_to."""
    segments = ds.dataset(segment_files(settings, layout, features), format="parquet")
    columns = {"key": pc.field(layout.join_key), "at": pc.field("visible_at").cast(pa.int64())}
    since, until = (pa.scalar(at, TIMESTAMP) for at in (after, up_to))
    there = (pc.field("visible_at") > since) & (pc.field("visible_at") <= until)
    wanted = pc.field(layout.join_key).isin(pa.array(sorted(keys), pa.string()))
    return segments.to_table(columns=columns, filter=there & wanted)


def same(a: Matrix, b: Matrix) -> Flags:
    """Where floats are equal; NaN equals NaN."""
    equal: Flags = (a == b) | (np.isnan(a) & np.isnan(b))
    return equal


def view_of(column: str, features: FeatureSet = BUILTIN) -> str | None:
    """The view from which a column is read; None for a column of the text."""
    feature = features.by_name.get(column)
    return None if feature is None else feature.view
