"""For how long a row that was not the newest had been out of date, read from the segments' keys and instants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from features.layout import ACCOUNT, JOIN_KEYS, ROLES, Instants
from leads.settings import Settings
from monitoring.skew.logged import Logged

_Keys = Sequence[str | None]


def waited(settings: Settings, of: Logged, late: npt.NDArray[np.bool_]) -> Instants:
    """(n, roles) µs for which the first row newer than the served one had been visible at `at`; 0 where not late.

    Args:
        late: (n, roles) whether there is a newer row.
    """
    keys: dict[str, _Keys] = {
        "item": [subject.key for subject in of.subjects],
        "account": [links.account_id for links in of.links],
        "parent": [links.parent_key for links in of.links],
        "bucket_0": [links.bucket_0 for links in of.links],
        "bucket_1": [links.bucket_1 for links in of.links],
        "device": _devices(settings, of, late[:, -1]),
    }
    out = np.zeros(late.shape, np.int64)
    for r, (role, layout) in enumerate(ROLES.items()):
        which = np.flatnonzero(late[:, r])
        if len(which):
            first = _first_newer(settings, layout.view, [str(keys[role][int(i)]) for i in which], of.row_at[which, r])
            out[which, r] = of.at[which] - first
    return out


def _devices(settings: Settings, of: Logged, late: npt.NDArray[np.bool_]) -> _Keys:
    """The devices to which the served rows of accounts led, for the predictions that are late."""
    devices: list[str | None] = [None] * len(of)
    which = np.flatnonzero(late)
    if len(which):
        row = tuple(ROLES).index("account")
        wanted = {(of.links[i].account_id, int(of.row_at[i, row])): None for i in which}
        table = _rows(settings, ACCOUNT.view, {key for key, _ in wanted if key is not None}, ACCOUNT.links)
        stored = zip(
            table["key"].to_pylist(), table["at"].to_pylist(), table[ACCOUNT.links[0]].to_pylist(), strict=True
        )
        led = {(key, at): device for key, at, device in stored if (key, at) in wanted}
        for i in which:
            devices[i] = led.get((of.links[i].account_id, int(of.row_at[i, row])))
    return devices


def _first_newer(settings: Settings, view: str, keys: Sequence[str], after: Instants) -> Instants:
    """(k,) the first instant behind `after` at which a row of each key became visible."""
    table = _rows(settings, view, set(keys))
    by_key: dict[str, list[int]] = {}
    for key, at in zip(table["key"].to_pylist(), table["at"].to_pylist(), strict=True):
        by_key.setdefault(key, []).append(at)
    instants = {key: np.unique(some) for key, some in by_key.items()}
    first = [instants[key][np.searchsorted(instants[key], at, "right")] for key, at in zip(keys, after, strict=True)]
    return np.array(first, np.int64)


def _rows(settings: Settings, view: str, keys: set[str], more: Sequence[str] = ()) -> pa.Table:
    """`key`, `at` in µs and more columns of the rows of some entities."""
    segments = ds.dataset(settings.features_dir / "segments" / view, format="parquet")
    columns = {"key": pc.field(JOIN_KEYS[view]), "at": pc.field("visible_at").cast(pa.int64())}
    columns |= {name: pc.field(name) for name in more}
    wanted = pa.array(sorted(keys), pa.string())
    return segments.to_table(columns=columns, filter=pc.field(JOIN_KEYS[view]).isin(wanted))
