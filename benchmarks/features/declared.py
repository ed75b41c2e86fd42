"""A contract with many declared columns, and one with an own view besides, compared with the built-in one: reading
rows and evaluating them."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.engine import Engine

from benchmarks.features.folding import visible
from benchmarks.features.samples import START, bodies
from benchmarks.report import Measure, at_most
from benchmarks.timing import timed
from features.contract import FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.generations import DeclaredFeatures, compiled
from features.declared.own_views import with_views
from features.evaluate.columns import contract_for, plan_of
from features.materialize import Materializer
from features.online.reader import OnlineReader
from features.online.stores import open_online_store
from features.registration.loading import OwnViews
from features.registration.materializing import materialize
from features.registration.registering import register
from features.views.declaration import ColumnDeclaration, ViewDeclaration
from leads import clock
from leads.db import event_log
from leads.db.engine import open_engine
from leads.events import Happened, ItemCreated, RecordedEvent, Subject, SubjectRef
from leads.platform.features import FeatureDeclaration
from leads.settings import Settings

COLUMNS, OWN_COLUMNS = 30, 10
SIZES = (1, 100)


def many(count: int = COLUMNS) -> FeatureSet:
    """As many declared features of all kinds, over events that the log has."""
    ways: list[dict[str, object]] = [
        {"count": "follow", "window": window} for window in ("1h", "24h", "7d", "90d", "ever")
    ]
    ways += [{"distinct": "follow.about", "window": window} for window in ("24h", "7d")]
    ways += [{"share": "follow", "where": f"hour < {hour}", "window": "7d"} for hour in (6, 12)]
    ways += [{"sum": "payout.amount", "by": "who", "window": window} for window in ("24h", "7d", "ever")]
    ways += [{"mean": "payout.amount", "by": "who", "window": "7d"}, {"max": "payout.amount", "window": "90d"}]
    ways += [{"last": "payout.amount", "window": "ever"}, {"entropy": "follow.about", "window": "7d"}]
    ways += [{"surge": "follow"}, {"velocity": "follow", "window": "24h"}]
    ways += [{"likelihood": "follow", "where": "hour < 6", "window": "ever"}]
    ways += [{"count": "payout", "where": f"amount > {limit}", "window": "7d"} for limit in range(1, count)]
    features = {
        f"account.declared_{i}": FeatureDeclaration.model_validate({**way, "unit": "x", "meaning": f"declared {i}"})
        for i, way in enumerate(ways[:count])
    }
    return compiled(DeclaredFeatures(features=features), 3)


def contracts(settings: Settings, name: str, quick: bool) -> list[Measure]:
    """Times to read and evaluate comments under both contracts, alternately; the ratio has a bar."""
    engine = open_engine(settings)
    comments, accounts, head = _fill(engine, 5_000 if quick else 20_000)
    declared = many()
    for features in (BUILTIN, declared):
        with closing(Materializer(settings, engine, features=features)) as rows:
            rows.run_to_head()
    engine.dispose()
    measures = []
    every = (BUILTIN, declared, _with_view(settings, declared, accounts, head))
    readers = [OnlineReader(open_online_store(settings), features) for features in every]
    chosen = [contract_for(text=False, features=features) for features in every]
    rng = random.Random(1)
    for n in SIZES:
        seconds: tuple[list[float], ...] = ([], [], [])
        for round_ in range((30 if quick else 150) + 1):
            subjects = [Subject("comment", one) for one in rng.sample(comments, n)]
            for i, (reader, contract) in enumerate(zip(readers, chosen, strict=True)):
                took = timed(_read(reader, contract, subjects, head))
                # The first round compiles the contracts.
                if round_:
                    seconds[i].append(took)
        ratio, own = (_ratio(seconds[0], others) for others in seconds[1:])
        more = f"{name}: with {COLUMNS} declared columns and {OWN_COLUMNS} of an own view"
        measures += [
            Measure(f"{name}: built-in contract at {n}", statistics.median(seconds[0]) * 1_000, "ms"),
            Measure(f"{name}: with {COLUMNS} declared columns at {n}", statistics.median(seconds[1]) * 1_000, "ms"),
            at_most(f"{name}: declared / built-in at {n}", ratio, "ratio", 1.3),
            Measure(f"{more} at {n}", statistics.median(seconds[2]) * 1_000, "ms"),
            # SQLite has a row for each value.
            at_most(f"{more} / built-in at {n}", own, "ratio", 1.3)
            if settings.online_store == "redis"
            else Measure(f"{more} / built-in at {n}", own, "ratio"),
        ]
    for reader in readers:
        reader.close()
    return measures


def visible_declared(settings: Settings, name: str, quick: bool) -> list[Measure]:
    """As `visible`, for an event that only a declared feature counts."""
    return visible(settings, f"{name}, declared", quick, many())


def _read(reader: OnlineReader, contract: FeatureContract, subjects: list[Subject], at: int) -> Callable[[], object]:
    features, as_of, texts = reader.features, np.full(len(subjects), at), [None] * len(subjects)
    return lambda: plan_of(contract, features).evaluate(reader.fetch(subjects).packed, as_of, texts)


def _ratio(ones: list[float], others: list[float]) -> float:
    return statistics.median(other / one for one, other in zip(ones, others, strict=True))


def _with_view(settings: Settings, features: FeatureSet, accounts: list[str], head: int) -> FeatureSet:
    """The features with a view of the accounts, whose values are in the online store."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    names = [f"value_{i}" for i in range(OWN_COLUMNS)]
    path = settings.root / "own.parquet"
    rng = random.Random(2)
    at = pa.array([head] * len(accounts), pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    values = {name: [rng.random() for _ in accounts] for name in names}
    pq.write_table(pa.table({"account_id": accounts, "at": at, **values}), path)
    source = FileSource(name="own_file", path=str(path), timestamp_field="at")
    entity = Entity(name="listener", join_keys=["account_id"], value_type=ValueType.STRING)
    schema = [Field(name=name, dtype=Float64) for name in names]
    view = FeatureView(name="own", entities=[entity], schema=schema, source=source)
    columns = {name: ColumnDeclaration(dtype="float64", meaning=name) for name in names}
    declared = ViewDeclaration(
        join_key="account_id", columns=columns, path=str(path), source="own_file", timestamp="at"
    )
    register(settings, OwnViews({"own": declared}, (entity, source, view)))
    found = with_views(features, {"own": declared})
    materialize(settings, found.views)
    return found


def _fill(engine: Engine, n: int) -> tuple[list[str], list[str], int]:
    """Append events of every kind; returns the ids of comments and accounts, and the time of the newest event."""
    rng = random.Random(7)
    made = bodies(n)
    comments = [one.subject.id for one in made if isinstance(one, ItemCreated) and one.subject.type_id == "comment"]
    accounts = sorted({one.account_id for one in made if isinstance(one, ItemCreated) and one.account_id})
    events = []
    for i, body in enumerate(made):
        at = START + i * 20 * clock.SECOND
        events.append(RecordedEvent(f"c{i}", at, at, body))
        account = rng.choice(accounts)
        happened = (
            Happened(SubjectRef("account", rng.choice(accounts)), "follow", account)
            if i % 2
            else Happened(SubjectRef("account", account), "payout", account, {"amount": rng.random() * 100})
        )
        events.append(RecordedEvent(f"d{i}", at, at, happened))
    with engine.begin() as connection:
        head = event_log.append_recorded(connection, "contracts", events).head.visible_at
    return comments, accounts, head
