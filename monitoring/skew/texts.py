"""The texts that were judged, found again in the event log by the hash that was logged. They never leave this code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from leads.db import event_log
from leads.db.engine import reading
from leads.text import text_hash
from monitoring.skew.logged import Logged


class Texts(NamedTuple):
    """For n predictions.

    Args:
        candidates: n texts that may have been judged, the likeliest first: hashes are of a normal form, so that two
            texts may share one. (None,) where there was none, or none is known.
        unknown: (n,) a text was judged that isn't in the log, as when it came with the request.
        ahead: (n,) the only such texts in the log became visible after `at`.
    """

    candidates: list[tuple[str | None, ...]]
    unknown: npt.NDArray[np.bool_]
    ahead: npt.NDArray[np.bool_]


def texts_of(engine: Engine, judged: Logged) -> Texts:
    """The texts of logged predictions."""
    n = len(judged)
    found = Texts([(None,)] * n, np.zeros(n, np.bool_), np.zeros(n, np.bool_))
    with reading(engine) as connection:
        stored = event_log.texts(
            connection, {judged.subjects[i] for i, digest in enumerate(judged.text_hash) if digest}
        )
    versions = {subject: [(at, text, text_hash(text)) for at, text in some] for subject, some in stored.items()}
    for i, digest in enumerate(judged.text_hash):
        if not digest:
            continue
        same = [(at, text) for at, text, other in versions.get(judged.subjects[i], ()) if other == digest]
        known = [text for at, text in same if at <= judged.at[i]]
        found.unknown[i], found.ahead[i] = not same, bool(same) and not known
        if same:
            found.candidates[i] = tuple(dict.fromkeys(known[::-1] or [text for _, text in same]))
    return found
