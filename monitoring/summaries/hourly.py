"""Summarises the prediction log of this host, an hour at a time.

An hour is written as a whole, in one transaction, and again if the log has more or fewer predictions of it than were
summarised: so predictions that were logged late, or while the job ran, are never lost or counted twice. What was
measured of such an hour is measured again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.event_log import MAX_CLOCK_SKEW
from leads.db.monitoring import progress, summaries
from leads.db.monitoring.summaries import StoredSummary
from leads.estimates.slices import slice_of
from leads.events import Subject
from leads.files import in_turn, write_atomic
from leads.messages.wording import counted
from leads.predictions.scan import PredictionScan
from leads.predictions.segments import day_of
from leads.settings import Settings
from monitoring.summaries.counting import count, without
from monitoring.summaries.summary import SCORE, TIER, Summary, pack
from monitoring.summaries.tally import NOTHING, TYPE, Described, Rows

# Predictions of hours that are older than this are no longer looked for.
LOOKED_BACK: Micros = 7 * clock.DAY
# What was measured of hours up to this age is measured again when their summaries change.
CORRECTED: Micros = 3 * clock.DAY
_COLUMNS = ["type_id", "subject_id", "at", "model_version", "role", "source", "vector", SCORE, TIER]

# The names of a version's inputs; None if the version can't be had any more.
NamesOf = Callable[[str, str], tuple[str, ...] | None]
# Describes subjects as of now.
Describe = Callable[[Sequence[Subject]], Described]


class Part(NamedTuple):
    """The summary of a version's and role's predictions in an hour, of all or of a slice."""

    version: str
    role: str
    slice: str
    summary: Summary


class Summarised(NamedTuple):
    """What was done for a harm.

    Args:
        hours: the hours that were written, ascending.
        ahead: predictions that were left out because they are dated in the future.
        notes: lines for people.
    """

    hours: list[Micros]
    ahead: int
    notes: list[str]


class HourlySummaries:
    """Summarises one host's log.

    Args:
        host: the id of the home, from `host_id`.
        names_of: the inputs of a harm's version.
        describe: None: subjects are divided by type alone.
        slices: names of the categories that summaries are also divided by; `type` is always known.
        ignored_sources: predictions from these sources are left out.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        host: str,
        *,
        names_of: NamesOf,
        describe: Describe | None = None,
        slices: Sequence[str] = (TYPE,),
        ignored_sources: Collection[str] = (),
    ) -> None:
        self._settings, self._engine, self._host = settings, engine, host
        self._names_of, self._describe = names_of, describe
        self._slices, self._ignored = tuple(slices), frozenset(ignored_sources)

    def update(self, harm: str, now: Micros) -> Summarised:
        """Bring the summaries of a harm's last seven days up to date, including the hour that isn't over.

        Raises:
            Unavailable: the database, or the registry that knows the versions' inputs, can't be reached.
        """
        first = (now - LOOKED_BACK) // clock.HOUR * clock.HOUR
        log = count(self._settings.predictions_dir, harm, first, self._ignored)
        logged = log.hours
        last = now + MAX_CLOCK_SKEW
        ahead = sum(n for hour, n in logged.items() if hour > last)
        with reading(self._engine) as connection:
            known = summaries.counted(connection, self._host, harm, first)
        # Summaries outlive predictions that were deleted because they are old.
        changed = sorted(
            hour
            for hour in {*logged, *known}
            if hour <= last and logged[hour] != known.get(hour, 0) and (logged[hour] or day_of(hour) in log.days)
        )
        notes: dict[str, None] = {}
        late = sum([self._write(harm, hour, now, notes) for hour in changed])
        with self._engine.begin() as connection:
            progress.set_summarised(connection, self._host, harm, now)
        if late:
            notes[f"{harm}: {counted(late, 'hour')} changed after they were measured; they are measured again."] = None
        if log.unreadable:
            notes[f"{harm}: {counted(log.unreadable, 'segment')} of the prediction log can't be read."] = None
        if ahead:
            notes[f"{harm}: {counted(ahead, 'prediction')} dated in the future left out; a host's clock is wrong."] = (
                None
            )
        return Summarised(changed, ahead, list(notes))

    def _write(self, harm: str, hour: Micros, now: Micros, notes: dict[str, None]) -> bool:
        """Write an hour's summaries; returns whether the hour has been measured already."""
        found = [
            StoredSummary(
                self._host,
                harm,
                one.version,
                one.role,
                one.slice,
                hour,
                one.summary.predictions,
                one.summary.rows,
                pack(one.summary),
                now,
            )
            for one in self.read(harm, hour, notes)
        ]
        with self._engine.begin() as connection:
            summaries.replace(connection, self._host, harm, hour, found)
            if hour >= now - CORRECTED:
                return progress.reopen(connection, harm, hour, ended=hour + clock.HOUR <= now)
        return False

    def read(self, harm: str, hour: Micros, notes: dict[str, None]) -> list[Part]:
        """Summarise the log's predictions of an hour: all of each version and role, then its slices.

        Args:
            notes: lines for people are added.
        """
        scan = PredictionScan(self._settings.predictions_dir, harm, hour, hour + clock.HOUR)
        tables = [without(table, self._ignored) for table in scan.slices(_COLUMNS)]
        table = pa.concat_tables(tables) if tables else None
        found: list[Part] = []
        if table is None or not table.num_rows:
            return found
        by = ["model_version", "role"]
        for key in table.select(by).group_by(by).aggregate([]).to_pylist():
            version, role = key["model_version"], key["role"]
            own = table.filter((pc.field("model_version") == version) & (pc.field("role") == role))
            names = self._names_of(harm, version)
            if names is None:
                notes[f"{harm} version {version}: it can't be read, so only its scores are measured."] = None
            found += [Part(version, role, *one) for one in self._divided(own, names, harm, version, notes)]
        return found

    def _divided(
        self, table: pa.Table, names: tuple[str, ...] | None, harm: str, version: str, notes: dict[str, None]
    ) -> list[tuple[str, Summary]]:
        """The summary of a version's predictions in an hour, and those of its slices."""
        latest, predictions = _latest_per_subject(table)
        subjects = [
            Subject(*pair) for pair in zip(*(latest[c].to_pylist() for c in ("type_id", "subject_id")), strict=True)
        ]
        described = self._describe(subjects) if self._describe is not None else NOTHING
        matrix = None
        if names is not None:
            matrix = _matrix(latest, len(names))
            if matrix is None:
                notes[f"{harm} version {version}: logged vectors don't have its {len(names)} inputs."] = None
        rows = Rows(
            latest[SCORE].to_numpy(),
            latest[TIER].to_pylist(),
            [subject.type_id for subject in subjects],
            names or () if matrix is not None else (),
            matrix,
            described,
        )
        found = [("", rows.summary(np.arange(len(subjects)), table.num_rows))]
        for (name, value), at in rows.divided(self._slices).items():
            found.append((slice_of(**{name: value}), rows.summary(at, int(predictions[at].sum()))))
        return found


def _latest_per_subject(table: pa.Table) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Each subject's latest prediction, and its number of them; the table's rows are ordered by `at`."""
    keys = pc.binary_join_element_wise(table["type_id"], table["subject_id"], ":").combine_chunks()
    ids = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, newest_first, counts = np.unique(ids[::-1], return_index=True, return_counts=True)
    rows = len(ids) - 1 - newest_first
    order = np.argsort(rows)
    return table.take(pa.array(rows[order])), counts[order]


def _matrix(table: pa.Table, width: int) -> npt.NDArray[np.float32] | None:
    """The rows' vectors; None if their length isn't `width`."""
    vectors = table["vector"].combine_chunks()
    if pc.unique(pc.list_value_length(vectors)).to_pylist() != [width]:
        return None
    found: npt.NDArray[np.float32] = vectors.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, width)
    return found


def host_id(settings: Settings) -> str:
    """The id of this home, by which its summaries are told from those of other hosts. It is made once.

    A home keeps its id when it moves to another machine, whose log is then the same one.
    """
    path = settings.predictions_dir / "host-id"
    with in_turn(settings.root / "locks" / "host-id.lock"):
        if not path.exists():
            settings.predictions_dir.mkdir(parents=True, exist_ok=True)
            write_atomic(path, lambda draft: draft.write_text(secrets.token_hex(8), encoding="ascii"))
    return path.read_text(encoding="ascii").strip()
