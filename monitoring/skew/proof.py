"""The comparison itself, a chunk of predictions at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from features.catalogue import BY_NAME, Feature
from features.contract import FeatureContract
from features.evaluate.columns import evaluate
from features.layout import ROLES, Instants, Matrix
from features.offline.frames import rows_at
from leads import clock
from leads.clock import Micros
from leads.settings import Settings
from monitoring.skew.logged import Logged
from monitoring.skew.tally import Flags, Kind, Tally
from monitoring.skew.texts import Texts, texts_of
from monitoring.skew.waits import waited

Column = npt.NDArray[np.floating]
_ITEM, _ACCOUNT, _DEVICE = (tuple(ROLES).index(role) for role in ("item", "account", "device"))


@dataclass(frozen=True)
class _Rows:
    """Rows of n predictions by role: as they were served, and the newest that were visible at `at`.

    Args:
        odd: (k,) the predictions for which the two may differ; `newest` and `newest_at` are theirs alone.
        links_differ: (n,) whether the links stored at `at` are others than those that were followed.
    """

    served: dict[str, Matrix]
    served_at: Instants
    odd: Instants
    newest: dict[str, Matrix]
    newest_at: Instants
    links_differ: Flags


def prove(
    settings: Settings, engine: Engine, contract: FeatureContract, of: Logged, tally: Tally, *, lag: Micros
) -> None:
    """Derive the predictions again and note in the tally what differs.

    Args:
        of: predictions made by the contract, whose rows the segments reach.
        lag: µs for which a newer row may have been visible and not served.

    Raises:
        NotFound: no features were derived yet.
    """
    if not len(of):
        return
    rows = _join(settings, of)
    texts = _texts(engine, contract, of)
    served = of.vector[:, : len(contract.columns)]
    matrix = _evaluated(contract, rows.served, of, texts, served)
    differs = _differences(contract, rows, of, texts, served, matrix, tally)
    behind, stale = _freshness(settings, contract, rows, of, matrix, tally, lag=lag)
    tally.checked += len(of)
    tally.differing += int((differs | stale).sum())
    tally.rows_ahead += int((of.row_at > of.at[:, None]).any(axis=1).sum())
    tally.links_differ += int((rows.links_differ & ~behind[:, _ITEM]).sum())
    tally.texts_unverifiable += int(texts.unknown.sum())
    tally.texts_ahead += int(texts.ahead.sum())


def _join(settings: Settings, of: Logged) -> _Rows:
    """Mostly the newest rows are those that were served, and one join does for both."""
    at = np.repeat(of.at[:, None], len(ROLES), axis=1)
    stored = rows_at(settings, of.subjects, at)
    links_differ = np.array([a != b for a, b in zip(stored.links, of.links, strict=True)], np.bool_)
    odd = np.flatnonzero(links_differ | (stored.row_at != of.row_at).any(axis=1))
    some = of.only(odd)
    served = rows_at(settings, some.subjects, some.row_at, links=some.links)
    newest = rows_at(settings, some.subjects, at[odd], links=some.links)
    for role, packed in served.packed.items():
        stored.packed[role][odd] = packed
    stored.row_at[odd] = served.row_at
    return _Rows(stored.packed, stored.row_at, odd, newest.packed, newest.row_at, links_differ)


def _texts(engine: Engine, contract: FeatureContract, of: Logged) -> Texts:
    if any(_view(name) is None for name in contract.names):
        return texts_of(engine, of)
    nothing = np.zeros(len(of), np.bool_)
    return Texts([(None,)] * len(of), nothing, nothing)


def _evaluated(
    contract: FeatureContract, packed: dict[str, Matrix], of: Logged, texts: Texts, served: Matrix
) -> Matrix:
    """What the served rows give; of several texts that may have been judged the first that gives what was served."""
    matrix = evaluate(contract, packed, of.at, [some[0] for some in texts.candidates]).matrix
    of_text = np.array([_view(name) is None for name in contract.names])
    for turn in range(1, max(map(len, texts.candidates))):
        open_ = np.flatnonzero((~_same(matrix, served) & of_text).any(axis=1))
        again = np.array([i for i in open_ if len(texts.candidates[i]) > turn], np.int64)
        if not len(again):
            break
        other = evaluate(
            contract,
            {role: rows[again] for role, rows in packed.items()},
            of.at[again],
            [texts.candidates[i][turn] for i in again],
        ).matrix
        fits = (_same(other, served[again]) | ~of_text).all(axis=1)
        matrix[again[fits]] = other[fits]
    return matrix


def _differences(
    contract: FeatureContract, rows: _Rows, of: Logged, texts: Texts, served: Matrix, matrix: Matrix, tally: Tally
) -> Flags:
    """Note values that differ and rows that nobody wrote; (n,) which predictions these are."""
    unknown = rows.served_at != of.row_at
    differs = ~_same(matrix, served)
    for j, name in enumerate(contract.names):
        view = _view(name)
        if view is None:
            differs[:, j] &= ~texts.unknown
        from_unknown = _of_view(unknown, view)
        _note(tally, "unknown row", name, of, differs[:, j] & from_unknown, served[:, j], matrix[:, j])
        _note(tally, "value", name, of, differs[:, j] & ~from_unknown, served[:, j], matrix[:, j])
    for r, role in enumerate(ROLES):
        unseen = unknown[:, r] & ~_shown(contract, differs, ROLES[role].view)
        ages = _age_s(of.at, of.row_at[:, r]), _age_s(of.at, rows.served_at[:, r])
        _note(tally, "unknown row", f"{role} row", of, unseen, *ages)
    found: Flags = differs.any(axis=1) | unknown.any(axis=1)
    return found


def _freshness(
    settings: Settings, contract: FeatureContract, rows: _Rows, of: Logged, matrix: Matrix, tally: Tally, *, lag: Micros
) -> tuple[Flags, Flags]:
    """Note how far rows were behind, and what the columns would have been with rows that were for too long.

    Returns (n, roles) which rows were behind, and (n,) which predictions had one that was for too long.
    """
    behind, stale = np.zeros(of.row_at.shape, np.bool_), np.zeros(len(of), np.bool_)
    some = of.only(rows.odd)
    late = rows.newest_at > some.row_at
    # Which device is asked follows from the account's row: behind another account row it is another device.
    late[:, _DEVICE] &= rows.newest_at[:, _ACCOUNT] == some.row_at[:, _ACCOUNT]
    behind[rows.odd] = late
    if not late.any():
        return behind, stale
    lags = waited(settings, some, late)
    tally.behind(lags.max(axis=1)[late.any(axis=1)])
    too_long = np.flatnonzero((lags > lag).any(axis=1))
    if len(too_long):
        stale[rows.odd[too_long]] = True
        _note_stale(contract, rows, of, matrix, tally, too_long, lags[too_long] > lag)
    return behind, stale


def _note_stale(
    contract: FeatureContract, rows: _Rows, of: Logged, matrix: Matrix, tally: Tally, which: Instants, stale: Flags
) -> None:
    """Note the columns that newer rows would have changed.

    Args:
        which: (k,) places in `rows.odd`.
        stale: (k, roles) the rows that newer ones take the place of.
    """
    places = rows.odd[which]
    some = of.only(places)
    packed = {
        role: np.where(stale[:, r, None], rows.newest[role][which], rows.served[role][places])
        for r, role in enumerate(ROLES)
    }
    expected = evaluate(contract, packed, some.at, [None] * len(some)).matrix
    missing = stale & (some.row_at == 0)
    differs = ~_same(expected, matrix[places])
    for j, name in enumerate(contract.names):
        view = _view(name)
        differs[:, j] &= view is not None
        absent = _of_view(missing, view)
        values = some.vector[:, j], expected[:, j]
        _note(tally, "missing row", name, some, differs[:, j] & absent, *values)
        _note(tally, "stale row", name, some, differs[:, j] & ~absent, *values)
    for r, role in enumerate(ROLES):
        unseen = stale[:, r] & ~_shown(contract, differs, ROLES[role].view)
        ages = _age_s(some.at, some.row_at[:, r]), _age_s(some.at, rows.newest_at[which, r])
        _note(tally, "missing row", f"{role} row", some, unseen & missing[:, r], *ages)
        _note(tally, "stale row", f"{role} row", some, unseen & ~missing[:, r], *ages)


def _note(tally: Tally, kind: Kind, column: str, of: Logged, where: Flags, served: Column, expected: Column) -> None:
    """Note the marked predictions, of all n."""
    places = np.flatnonzero(where)
    if len(places):
        tally.differ(kind, column, of, places, served[places], expected[places])


def _same(a: Matrix, b: Matrix) -> Flags:
    """Where floats are equal; NaN equals NaN."""
    equal: Flags = (a == b) | (np.isnan(a) & np.isnan(b))
    return equal


def _view(column: str) -> str | None:
    """The view a column is read from; None for one of the text."""
    feature = BY_NAME[column]
    return feature.view if isinstance(feature, Feature) else None


def _of_view(rows: Flags, view: str | None) -> Flags:
    """(n,) whether one of a view's rows is marked among (n, roles)."""
    return _any(rows[:, [layout.view == view for layout in ROLES.values()]])


def _shown(contract: FeatureContract, differs: Flags, view: str) -> Flags:
    """(n,) whether a column of the view differs."""
    return _any(differs[:, [_view(name) == view for name in contract.names]])


def _any(marks: Flags) -> Flags:
    marked: Flags = np.asarray(marks.any(axis=1))
    return marked


def _age_s(at: Instants, row_at: Instants) -> Column:
    """In seconds; NaN where there is no row."""
    ages: Column = np.where(row_at > 0, (at - row_at) / clock.SECOND, np.nan)
    return ages
