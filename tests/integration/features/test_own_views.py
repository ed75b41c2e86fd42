"""Feature views of the user's own: registered, written, read while serving and joined for training, all alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.engine import Engine

from features.declared.generations import live
from features.deletion import delete_rows
from features.evaluate.columns import contract_for, evaluate
from features.feast.store import known_warnings_ignored, open_store
from features.live_rows import LiveRows
from features.offline.frames import point_in_time
from features.online.feast import FeastStore
from features.online.reader import Fetched, open_reader
from features.partition import WHOLE
from features.registration.materializing import materialize
from features.registration.registering import unregister
from leads import clock
from leads.db.engine import migrate, open_engine
from leads.events import Subject
from leads.settings import Settings, load_settings
from tests.support.features.declared.generations import log, with_declared
from tests.support.features.history import START
from tests.support.features.own_views import TrustRow, apply_views, random_history, write_definitions, write_history

NOW = START + 20 * clock.DAY
ACCOUNTS = [Subject("account", f"a{i}") for i in range(22)]


@pytest.fixture(params=["sqlite", "redis", "feast"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Engine]]:
    """Settings with a folder of definitions, and a database."""
    options = {}
    if request.param == "redis":
        options = {"online_store": "redis", "redis_url": request.getfixturevalue("redis_address")}
    if request.param == "feast":
        options = {
            "online_store": "feast.infra.online_stores.sqlite.SqliteOnlineStore",
            "online_store_options": f'{{"path": "{tmp_path / "other.db"}"}}',
        }
    settings = load_settings(home=tmp_path / "home", corpora="", feature_views=tmp_path / "views", **options)
    write_definitions(tmp_path / "views")
    migrate(settings)
    engine = open_engine(settings)
    yield settings, engine
    engine.dispose()


def fetch(settings: Settings, subjects: list[Subject]) -> Fetched:
    with closing(open_reader(settings)) as reader:
        return reader.fetch(subjects)


def columns(settings: Settings, engine: Engine, fetched: Fetched, as_of: int) -> np.ndarray:
    features = live(engine)
    n = len(fetched.links)
    contract = contract_for(text=False, features=features)
    return evaluate(contract, fetched.packed, np.full(n, as_of), [None] * n, features).matrix[:, -3:]


def test_what_is_served_is_what_training_joins(home: tuple[Settings, Engine], tmp_path: Path) -> None:
    settings, engine = home
    rows = random_history(400, START, NOW)
    write_history(tmp_path / "views", rows)
    apply_views(settings, engine)
    head = log(engine, with_declared(1_000))
    with closing(LiveRows(settings, engine, WHOLE)) as worker:
        worker.run_to_head()
    views = live(engine).views
    assert [view.name for view in views] == ["trust"]
    later = max(head, NOW) + clock.DAY
    for as_of in (START + 3 * clock.DAY, later, later):
        assert materialize(settings, views, clock_=lambda as_of=as_of: as_of) == 400
        # Later than all events, so that the links of all items are known.
        items = [Subject("comment", f"c{i}") for i in range(1_000)] if as_of > head else []
        subjects = [*ACCOUNTS, *items]
        fetched = fetch(settings, subjects)
        served = columns(settings, engine, fetched, as_of)
        contract = contract_for(text=False, features=live(engine))
        frame = point_in_time(settings, contract, subjects, [None] * len(subjects), np.full(len(subjects), as_of))
        np.testing.assert_array_equal(served, frame.matrix[:, -3:])
        if settings.online_store != "feast.infra.online_stores.sqlite.SqliteOnlineStore":
            np.testing.assert_array_equal(fetched.row_at[:, -1], frame.row_at[:, -1])
        assert np.isfinite(served[:20]).mean() > 0.5
        assert np.isfinite(served[22:]).any() == bool(items)
        assert np.isnan(served[20:22]).all()


def test_a_push_is_served_as_feast_returns_it(home: tuple[Settings, Engine], tmp_path: Path) -> None:
    settings, engine = home
    write_history(tmp_path / "views", random_history(50, START, NOW))
    apply_views(settings, engine)
    nothing = fetch(settings, ACCOUNTS)
    assert not nothing.row_at.any()
    assert np.isnan(columns(settings, engine, nothing, NOW)).all()

    materialize(settings, live(engine).views, clock_=lambda: NOW)
    store = open_store(settings)
    pushed = pd.DataFrame(
        {
            "account_id": ["a1", "a2", "a21"],
            "event_timestamp": pd.to_datetime([NOW + 1_500_000, NOW + 2_000_000, START], unit="us", utc=True),
            "created": pd.to_datetime([NOW] * 3, unit="us", utc=True),
            "level": [-7, 0, 300],
            "refunds": [0.25, None, 1e300],
            "is_partner": [True, False, True],
            "tier": ["gold", "", "gold"],
        }
    )
    store.push("trust_push", pushed)
    fetched = fetch(settings, ACCOUNTS)
    served = columns(settings, engine, fetched, NOW + clock.MINUTE)
    np.testing.assert_array_equal(served[[1, 2]], np.float32([[-7, 0.25, 1], [0, np.nan, 0]]))
    np.testing.assert_array_equal(served[21], np.float32([300, 1e18, 1]))
    names = ["level", "refunds", "is_partner"]
    with known_warnings_ignored():
        answer = store.get_online_features(
            features=[f"trust:{name}" for name in names], entity_rows=[{"account_id": one.id} for one in ACCOUNTS]
        ).to_dict()
    expected = np.array([[np.nan if x is None else x for x in answer[name]] for name in names], np.float64).T
    np.testing.assert_array_equal(served, np.clip(expected, -1e18, 1e18).astype(np.float32))

    # An older row doesn't replace a newer one, in a push or from the source.
    store.push("trust_push", pushed.assign(event_timestamp=pushed["event_timestamp"] - pd.Timedelta(days=40), level=9))
    materialize(settings, live(engine).views, clock_=lambda: NOW)
    if settings.online_store != "feast.infra.online_stores.sqlite.SqliteOnlineStore":
        np.testing.assert_array_equal(columns(settings, engine, fetch(settings, ACCOUNTS), NOW + clock.MINUTE), served)


def test_direct_readers_agree_with_feasts_sdk(home: tuple[Settings, Engine], tmp_path: Path) -> None:
    settings, engine = home
    write_history(tmp_path / "views", random_history(200, START, NOW))
    apply_views(settings, engine)
    materialize(settings, live(engine).views, clock_=lambda: NOW + clock.DAY)
    with closing(open_reader(settings)) as reader:
        fetched = reader.fetch(ACCOUNTS)
        reader._store = FeastStore(settings)
        through_feast = reader.fetch(ACCOUNTS)
    np.testing.assert_array_equal(fetched.packed["view:trust"][:, 8:], through_feast.packed["view:trust"][:, 8:])


def test_values_stay_when_all_rows_are_derived_again(home: tuple[Settings, Engine], tmp_path: Path) -> None:
    settings, engine = home
    write_history(tmp_path / "views", random_history(100, START, NOW))
    apply_views(settings, engine)
    materialize(settings, live(engine).views, clock_=lambda: NOW)
    log(engine, with_declared(100))
    for _ in range(2):
        with closing(LiveRows(settings, engine, WHOLE)) as worker:
            worker.run_to_head()
        fetched = fetch(settings, ACCOUNTS)
        assert fetched.row_at[:, -1].any()
        assert fetched.row_at[:, 1].any()
        delete_rows(settings)
    with closing(LiveRows(settings, engine, WHOLE)):
        fetched = fetch(settings, ACCOUNTS)
    assert fetched.row_at[:, -1].any()
    assert not fetched.row_at[:, 1].any()
    store = open_store(settings)
    assert "trust" in [view.name for view in store.list_feature_views()]
    assert not any("trust" in field.name for field in store.get_on_demand_feature_view("named").features)


def test_a_view_that_is_removed_is_gone_from_feast_and_from_the_features(
    home: tuple[Settings, Engine], tmp_path: Path
) -> None:
    settings, engine = home
    write_history(tmp_path / "views", random_history(50, START, NOW))
    apply_views(settings, engine)
    materialize(settings, live(engine).views, clock_=lambda: NOW)
    (tmp_path / "views" / "trust.py").unlink()
    apply_views(settings, engine)
    unregister(settings, ["trust"])
    assert live(engine).views == ()
    assert "trust" not in [view.name for view in open_store(settings).list_feature_views()]
    assert len(fetch(settings, ACCOUNTS).packed) == 6


def test_frames_equal_feasts_where_each_row_is_available_at_once(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", corpora="", feature_views=tmp_path / "views")
    write_definitions(tmp_path / "views")
    migrate(settings)
    engine = open_engine(settings)
    unique: dict[tuple[str, int], TrustRow] = {one[:2]: one for one in random_history(300, START, NOW, late=False)}
    write_history(tmp_path / "views", [*unique.values()])
    apply_views(settings, engine)
    rng = np.random.default_rng(5)
    subjects = [ACCOUNTS[i] for i in rng.integers(0, 22, 200)]
    as_of = rng.integers(START, NOW, 200)
    with closing(LiveRows(settings, engine, WHOLE)):
        pass
    contract = contract_for(text=False, features=live(engine))
    ours = point_in_time(settings, contract, subjects, [None] * 200, as_of).matrix[:, -3:]
    names = ["level", "refunds", "is_partner"]
    asked = pd.DataFrame(
        {
            "account_id": [one.id for one in subjects],
            "event_timestamp": pd.to_datetime(as_of, unit="us", utc=True),
            "place": range(200),
        }
    )
    with known_warnings_ignored():
        table = open_store(settings).get_historical_features(asked, [f"trust:{name}" for name in names]).to_df()
    theirs = table.sort_values("place")[names].astype("float64").to_numpy()
    np.testing.assert_array_equal(ours, theirs.astype(np.float32))
    assert np.isfinite(ours).mean() > 0.3
    engine.dispose()
