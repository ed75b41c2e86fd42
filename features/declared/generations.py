"""The generations of features that the database records, and the one that is live.

A generation is built beside the live one, in rows of its own (`features.declared.building`). Then it is `ready`: every
worker writes the rows of both. Once all partitions' rows are current, it becomes `live` and the one before `retired`,
in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import sqlalchemy as sa
from pydantic import Field as Described
from sqlalchemy.engine import Connection, Engine

from features.declared.builtin import BUILTIN
from features.declared.compile import Declarations, compile_features
from features.declared.feature_set import FeatureSet
from features.declared.own_views import with_views
from features.layout import FIRST_NUMBER
from features.partition import Partition
from features.views.declaration import ViewDeclaration
from leads.clock import Clock, Micros, now
from leads.db.engine import database_url, reading, unchecked_engine
from leads.db.progress.feature_generations import feature_backfills, feature_generations
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.declaration import Platform
from leads.platform.features import FeatureDeclaration, FeatureDeclarations, KeyDeclaration
from leads.settings import Settings
from leads.yaml_files import Strict

_last_live = BUILTIN
State = Literal["building", "ready", "live", "retired"]


class DeclaredFeatures(Strict):
    """What platform.yaml declares of features, and own views, as a generation records them.

    Args:
        units: the units of the fields that features read, by `kind.field`, or by `field` of an item.
        views: feature views of the user's own, by name.
    """

    features: FeatureDeclarations = Described(default_factory=dict)
    keys: dict[str, KeyDeclaration] = Described(default_factory=dict)
    units: dict[str, str] = Described(default_factory=dict)
    views: dict[str, ViewDeclaration] = Described(default_factory=dict)

    def of(self, name: str) -> FeatureDeclaration | ViewDeclaration:
        """How a feature is declared; for a column of an own view, how the view is."""
        view, colon, _ = name.partition(":")
        return self.views[view] if colon else self.features[name]

    @property
    def without_views(self) -> DeclaredFeatures:
        """What decides about the rows of a generation."""
        return self.model_copy(update={"views": {}})

    @property
    def written(self) -> str:
        """As canonical JSON: equal declarations give equal text."""
        return self.model_dump_json(exclude_none=True, exclude_defaults=True, by_alias=True)


def declared_features(platform: Platform) -> DeclaredFeatures:
    """What a platform declares of features."""
    units = {
        f"{name}.{field}": one.unit
        for name, kind in platform.events.items()
        for field, one in kind.fields.items()
        if one.unit
    }
    for type_ in platform.types.values():
        units |= {field: one.unit for field, one in type_.fields.items() if one.unit}
    used = {f"{one.kind}.{one.source}" if one.source else one.field for one in platform.features.values()}
    return DeclaredFeatures(
        features=platform.features,
        keys=dict(platform.keys),
        units={name: unit for name, unit in units.items() if name in used},
    )


class Generation(NamedTuple):
    """A generation of features. Times are in µs since epoch.

    Args:
        since: when the first event of the log that it was built from became visible; None while it isn't known.
    """

    number: int
    declared: DeclaredFeatures
    state: State
    since: Micros | None
    retired_at: Micros | None
    live_at: Micros | None = None

    @property
    def features(self) -> FeatureSet:
        """Its features, compiled."""
        return _compiled(self.declared.written, self.number)


# What is live in a database without any other generation.
FIRST = Generation(FIRST_NUMBER, DeclaredFeatures(), "live", None, None)


def compiled(declared: DeclaredFeatures, number: int) -> FeatureSet:
    """The features of a generation: the built-in ones, those that are declared, and then columns of own views."""
    found = BUILTIN
    if number != FIRST_NUMBER:
        features = {**BUILT_IN_FEATURES, **declared.features}
        found = compile_features(Declarations(features, declared.keys, declared.units), number)
    return with_views(found, declared.views) if declared.views else found


@lru_cache(maxsize=16)
def _compiled(written: str, number: int) -> FeatureSet:
    return compiled(_parsed(written), number)


@lru_cache(maxsize=16)
def _parsed(written: str) -> DeclaredFeatures:
    # Processes read the same few declarations once a second.
    return DeclaredFeatures.model_validate_json(written)


def generations(connection: Connection) -> list[Generation]:
    """All generations; the newest last. The first has a row only if it has own views, or is retired."""
    table = feature_generations
    rows = connection.execute(sa.select(table).order_by(table.c.number)).all()
    return [
        Generation(
            row.number,
            _parsed(row.declared),
            row.state,
            row.since,
            row.retired_at,
            row.live_at,
        )
        for row in rows
    ]


def live_generation(connection: Connection) -> Generation:
    """The generation that is live."""
    return live_among(generations(connection))


def coming_generation(connection: Connection) -> Generation | None:
    """The generation that is being built, or is ready; None if there is none."""
    return _newest(generations(connection), "building", "ready")


def live_among(known: Sequence[Generation]) -> Generation:
    """The one of all generations that is live."""
    return _newest(known, "live") or FIRST


def ready_among(known: Sequence[Generation]) -> Generation | None:
    """The one of all generations that is ready; None if there is none."""
    return _newest(known, "ready")


def _newest(known: Sequence[Generation], *states: State) -> Generation | None:
    found = [one for one in known if one.state in states]
    return found[-1] if found else None


def live(engine: Engine) -> FeatureSet:
    """The features that are live."""
    with reading(engine) as connection:
        return live_generation(connection).features


def last_live() -> FeatureSet:
    """What `live_features` found last in this process: Feast calls some functions without any settings."""
    return _last_live


def live_features(settings: Settings) -> FeatureSet:
    """The features that are live in the settings' database. Without a database, the built-in ones."""
    global _last_live
    _last_live = _read(settings)
    return _last_live


def _read(settings: Settings) -> FeatureSet:
    url = database_url(settings)
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
        return BUILTIN
    engine = unchecked_engine(settings)
    try:
        if not sa.inspect(engine).has_table(feature_generations.name):
            return BUILTIN
        return live(engine)
    finally:
        engine.dispose()


def begin(connection: Connection, declared: DeclaredFeatures, *, clock_: Clock = now) -> Generation:
    """Record a new generation, which is to be built."""
    number = max([FIRST_NUMBER, *(one.number for one in generations(connection))]) + 1
    _insert(connection, number, declared, "building", clock_())
    return Generation(number, declared, "building", None, None)


def redeclare(connection: Connection, number: int, declared: DeclaredFeatures, *, clock_: Clock = now) -> None:
    """Replace the declaration of a generation by one with the same rows: with other words, or other own views."""
    if number == FIRST_NUMBER and not _has_row(connection, number):
        _insert(connection, number, declared, "live", clock_())
    _update(connection, number, declared=declared.written)


def forget(connection: Connection, number: int) -> None:
    """Delete the record of a generation whose rows are gone."""
    for table in (feature_generations, feature_backfills):
        connection.execute(sa.delete(table).where(table.c.number == number))


def set_ready(connection: Connection, number: int, since: Micros) -> None:
    """Record that a generation's rows are built, from events since this time; workers take over from here."""
    _update(connection, number, state="ready", since=since)


def report(
    connection: Connection,
    number: int,
    partition: Partition,
    offset: int,
    target: int,
    *,
    done: bool = False,
    clock_: Clock = now,
) -> None:
    """Record how far a partition's rows of a generation are.

    Args:
        target: the offset of the last event in the log.
        done: whether they are current from now on.
    """
    table, name = feature_backfills, _name(partition)
    values = {"offset": offset, "target": target, "updated_at": clock_(), "done": done}
    key = (table.c.number == number) & (table.c.partition == name)
    if connection.execute(sa.update(table).where(key).values(**values)).rowcount == 0:
        connection.execute(sa.insert(table).values(number=number, partition=name, **values))


class Progress(NamedTuple):
    """How far a partition's rows of a generation are; see `report`."""

    partition: str
    offset: int
    target: int
    done: bool


def progress(connection: Connection, number: int) -> list[Progress]:
    """How far the partitions are that have reported."""
    table = feature_backfills
    rows = connection.execute(sa.select(table).where(table.c.number == number).order_by(table.c.partition))
    return [Progress(row.partition, row.offset, row.target, bool(row.done)) for row in rows]


def go_live(connection: Connection, number: int, partitions: Sequence[Partition], *, clock_: Clock = now) -> bool:
    """Make a ready generation live if the rows of all partitions are current; returns whether it is."""
    done = {one.partition for one in progress(connection, number) if one.done}
    if not done.issuperset(map(_name, partitions)):
        return False
    before = live_generation(connection)
    if not _has_row(connection, before.number):
        # The first gets a row, so that its rows are deleted in time.
        _insert(connection, before.number, before.declared, "live", 0)
    _update(connection, before.number, state="retired", retired_at=clock_())
    _update(connection, number, state="live", live_at=clock_())
    return True


def _has_row(connection: Connection, number: int) -> bool:
    return any(one.number == number for one in generations(connection))


def _insert(connection: Connection, number: int, declared: DeclaredFeatures, state: State, at: Micros) -> None:
    values = {"number": number, "declared": declared.written, "state": state, "created_at": at}
    connection.execute(sa.insert(feature_generations).values(values))


def _update(connection: Connection, number: int, **values: object) -> None:
    connection.execute(sa.update(feature_generations).where(feature_generations.c.number == number).values(**values))


def _name(partition: Partition) -> str:
    return f"{partition.index}of{partition.count}"
