"""Features that are applied while rows are served: same numbers as before, and the new ones beside them."""

from __future__ import annotations

from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from features.declared import building, generations
from features.declared.builtin import BUILTIN
from features.declared.generations import live
from features.evaluate.columns import contract_for, evaluate
from features.live_rows import LiveRows
from features.materialize import Materializer
from features.offline.frames import point_in_time
from features.online.reader import open_reader
from features.partition import WHOLE, Partition
from leads import clock
from leads.db.engine import open_engine, reading
from leads.errors import Conflict, Unavailable
from leads.events import Subject
from leads.settings import Settings, load_settings
from tests.support.features.declared.generations import FEATURES, apply, declared, log, with_declared
from tests.support.features.state_settings import STATE_STORES, state_settings

N = 3_000
SUBJECTS = [
    *(Subject("account", f"a{i}") for i in range(300)),
    *(Subject("comment", f"c{i}") for i in range(0, N, 17)),
]
BEFORE = contract_for(text=False)


def served(settings: Settings, engine: Engine, as_of: int, contract: object = BEFORE) -> np.ndarray:
    """What serving reads now."""
    features = live(engine)
    contract = contract_for(text=False, features=features) if contract is None else contract
    with closing(open_reader(settings)) as reader:
        fetched = reader.fetch(SUBJECTS)
    n = len(SUBJECTS)
    return evaluate(contract, fetched.packed, np.full(n, as_of), [None] * n, features).matrix  # type: ignore[arg-type]


def test_the_built_in_features_stay_the_same_and_frames_equal_what_is_served(
    settings: Settings, engine: Engine
) -> None:
    head = log(engine, with_declared(N))
    with closing(LiveRows(settings, engine, WHOLE)) as rows:
        rows.run_to_head()
    before = served(settings, engine, head)
    apply(settings, engine, declared())
    np.testing.assert_array_equal(served(settings, engine, head), before)

    contract = contract_for(text=False, features=live(engine))
    assert contract.names[len(BEFORE.names) :] == tuple(FEATURES)
    for as_of in (head, head + 5 * clock.DAY):
        now = served(settings, engine, as_of, contract)
        frame = point_in_time(settings, contract, SUBJECTS, [None] * len(SUBJECTS), np.full(len(SUBJECTS), as_of))
        np.testing.assert_array_equal(frame.matrix, now)
    declared_columns = served(settings, engine, head, contract)[:, len(BEFORE.names) :]
    assert (np.isfinite(declared_columns[:300]).mean(axis=0) > 0.1).all()
    assert (np.nanmax(declared_columns[:300], axis=0) > 0).all()


def test_a_worker_takes_over_and_both_generations_stay_current(settings: Settings, engine: Engine) -> None:
    events = with_declared(N)
    log(engine, islice(events, N // 2))
    switched = []
    with closing(LiveRows(settings, engine, WHOLE, on_switch=switched.append)) as rows:
        rows.run_to_head()
        generation = building.start(settings, engine, declared())
        building.build(settings, engine, generation, on_progress=lambda done, total: None)
        assert live(engine).number != generation.number
        head = log(engine, events)
        while not switched:
            rows._look_at = 0.0
            rows.step()
            rows.save()
        assert live(engine) is switched[0] is rows.features
        rows.flush()
    other = load_settings(home=settings.root.parent / "other", corpora="", database_url=settings.database)
    with closing(Materializer(other, engine, features=live(engine))) as undisturbed:
        undisturbed.run_to_head()
    contract = contract_for(text=False, features=live(engine))
    np.testing.assert_array_equal(served(settings, engine, head, contract), served(other, engine, head, contract))


def test_a_build_that_is_interrupted_continues(settings: Settings, engine: Engine) -> None:
    head = log(engine, with_declared(N))
    Materializer(settings, engine).run_to_head()
    generation = building.start(settings, engine, declared())

    class Killed(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            building.build(settings, engine, generation, on_progress=stop)
    assert building.start(settings, engine, declared()) == generation
    number = apply(settings, engine, declared())
    assert number == generation.number
    whole = served(settings, engine, head, None)

    other = load_settings(home=settings.root.parent / "other", corpora="", database_url=settings.database)
    Materializer(other, engine).run_to_head()
    np.testing.assert_array_equal(served(other, engine, head, None), whole)


def test_features_that_change_again(settings: Settings, engine: Engine) -> None:
    head = log(engine, with_declared(N))
    Materializer(settings, engine).run_to_head()
    first = apply(settings, engine, declared())
    kept = contract_for(text=False, features=live(engine))
    before = served(settings, engine, head, kept)
    more = {**FEATURES, "account.logins_90d": {"count": "login", "window": "90d", "meaning": "log-ins in 90 days"}}
    second = apply(settings, engine, declared(**{name.replace(".", "__"): one for name, one in more.items()}))
    assert second == first + 1
    # A contract of the earlier features gives the same numbers.
    np.testing.assert_array_equal(served(settings, engine, head, kept), before)
    with reading(engine) as connection:
        states = {one.number: one.state for one in generations.generations(connection)}
    assert states == {2: "retired", first: "retired", second: "live"}


def test_every_partition_has_to_be_ready(settings: Settings, engine: Engine) -> None:
    parts = load_settings(home=settings.root, corpora="", partitions=2)
    log(engine, with_declared(N))
    shares = [Partition(i, 2) for i in range(2)]
    for share in shares:
        Materializer(parts, engine, partition=share).run_to_head()
    generation = building.start(parts, engine, declared())
    building.build(parts, engine, generation, on_progress=lambda done, total: None)
    with closing(LiveRows(parts, engine, shares[0])) as first:
        first.run_to_head()
        assert live(engine).number == 2
        with closing(LiveRows(parts, engine, shares[1])) as second:
            second.run_to_head()
        assert live(engine).number == generation.number


def test_another_declaration_replaces_one_that_is_being_built(settings: Settings, engine: Engine) -> None:
    log(engine, with_declared(300))
    begun = building.start(settings, engine, declared())
    one = {"account__follows_24h": {"count": "follow", "window": "24h", "meaning": "follows in 24 hours"}}
    other = building.start(settings, engine, declared(**one))
    assert other.declared != begun.declared
    building.build(settings, engine, other, on_progress=lambda done, total: None)
    with pytest.raises(Conflict, match="taking over"):
        building.start(settings, engine, declared())


@pytest.mark.parametrize("store", STATE_STORES)
@pytest.mark.parametrize("online", ["sqlite", "redis"])
def test_on_every_store_the_old_rows_are_deleted_and_the_new_ones_stay(
    store: str, online: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = state_settings(tmp_path / "home", store, request, online_store=online)
    engine = open_engine(settings)
    head = log(engine, with_declared(600))
    with closing(LiveRows(settings, engine, WHOLE)) as rows:
        rows.run_to_head()
    before = served(settings, engine, head)
    number = apply(settings, engine, declared())
    whole = served(settings, engine, head, None)
    np.testing.assert_array_equal(whole[:, : len(BEFORE.names)], before)
    with closing(open_reader(settings)) as reader:
        reader.use(BUILTIN)
        assert reader.fetch(SUBJECTS).row_at.any()

    later = clock.now() + clock.HOUR
    monkeypatch.setattr("features.live_rows.clock.now", lambda: later)
    with closing(LiveRows(settings, engine, WHOLE)) as rows:
        rows.run_to_head()
    with reading(engine) as connection:
        assert [one.number for one in generations.generations(connection)] == [number]
    with closing(open_reader(settings)) as reader:
        reader.use(BUILTIN)
        # SQLite's tables are gone.
        with suppress(Unavailable):
            assert not reader.fetch(SUBJECTS).row_at.any()
    np.testing.assert_array_equal(served(settings, engine, head, None), whole)
    # What comes later is folded on from there.
    after = log(engine, islice(with_declared(700), 800, None))
    with closing(LiveRows(settings, engine, WHOLE)) as rows:
        assert rows.offset
        rows.run_to_head()
    assert not np.array_equal(served(settings, engine, after, None), whole, equal_nan=True)
    engine.dispose()
