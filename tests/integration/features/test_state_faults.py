"""State stores that fail, lose data or have several workers: what is written equals an undisturbed run's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from features import materialize
from features.deletion import delete_rows
from features.materialize import Materializer
from leads.db.engine import open_engine
from leads.errors import Conflict, Unavailable
from leads.settings import Settings, load_settings
from tests.support.features.flaky_state import FlakyStores
from tests.support.features.history import assert_served_alike, log_history, segment_rows
from tests.support.features.state_servers import lose, lose_values, snapshot
from tests.support.features.state_settings import SERVERS, STATE_STORES, state_settings

N = 2_000

pytestmark = pytest.mark.slow


class Undisturbed:
    """A home whose worker met no fault."""

    def __init__(self, home: Path) -> None:
        self.settings = load_settings(home=home, corpora="")
        engine = open_engine(self.settings)
        self.head = log_history(engine, N)
        materializer = Materializer(self.settings, engine)
        materializer.run_to_head()
        materializer.close()
        engine.dispose()
        self.rows = segment_rows(self.settings)

    def assert_equals(self, settings: Settings) -> None:
        assert segment_rows(settings) == self.rows
        assert_served_alike(settings, self.settings, self.head)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialize, "_CHANGES", 100)


@pytest.fixture
def on_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Engine]]:
    yield from world(request.param, request, tmp_path)


@pytest.fixture
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Engine]]:
    yield from world(request.param, request, tmp_path)


def world(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Engine]]:
    flush = {"online_flush_s": 0.001, "segment_flush_s": 0.001}
    settings = state_settings(tmp_path / "home", store, request, **flush)
    engine = open_engine(settings)
    log_history(engine, N)
    yield settings, engine
    engine.dispose()


def steps(materializer: Materializer, up_to: int = N) -> None:
    while materializer.offset < up_to:
        materializer.step()
        materializer.save()


def restored(materializer: Materializer) -> None:
    """Restore, however often the store fails meanwhile."""
    while materializer.failed:
        try:
            materializer.restore()
        except Unavailable:
            continue


@pytest.mark.parametrize("any_store", STATE_STORES, indirect=True)
def test_a_store_that_fails_now_and_then_changes_nothing(
    any_store: tuple[Settings, Engine], undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, engine = any_store
    stores = FlakyStores()
    monkeypatch.setattr(materialize, "open_state", stores)
    materializer = Materializer(settings, engine, read=50)
    stores.share = 0.02
    while materializer.offset < N or materializer.failed:
        try:
            restored(materializer)
            steps(materializer)
            materializer.flush()
        except Unavailable:
            assert materializer.failed
            # Asked to stop while the store is down, it writes nothing.
            materializer.flush()
    assert stores.opened > 3
    stores.share = 0.0
    restored(materializer)
    materializer.run_to_head()
    materializer.close()
    undisturbed.assert_equals(settings)


@pytest.mark.parametrize("restored_to", [0, 400])
@pytest.mark.parametrize("on_server", SERVERS, indirect=True)
def test_a_server_that_lost_data_is_given_the_rows_again(
    on_server: tuple[Settings, Engine], undisturbed: Undisturbed, restored_to: int
) -> None:
    settings, engine = on_server
    materializer = Materializer(settings, engine, read=50)
    steps(materializer, 400)
    materializer.flush()
    put_back = snapshot(settings)
    steps(materializer, 1_200)
    materializer.flush()
    before = segment_rows(settings)
    if restored_to:
        put_back()
    else:
        lose(settings)
    with pytest.raises(Unavailable, match="expected position"):
        materializer.step()
    assert materializer.failed
    materializer.restore()
    assert materializer.offset == restored_to
    steps(materializer, 800)
    assert segment_rows(settings) == before
    materializer.run_to_head()
    materializer.close()
    undisturbed.assert_equals(settings)


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("on_server", SERVERS, indirect=True)
def test_a_server_that_lost_only_values_is_given_the_rows_again(
    on_server: tuple[Settings, Engine], undisturbed: Undisturbed, running: bool
) -> None:
    settings, engine = on_server
    materializer = Materializer(settings, engine, read=50)
    steps(materializer, 1_200)
    materializer.flush()
    if not running:
        materializer.close()
    lose_values(settings)
    if running:
        with pytest.raises(Unavailable, match="lost values"):
            steps(materializer)
        assert materializer.failed
        materializer.restore()
    else:
        materializer = Materializer(settings, engine, read=50)
    assert materializer.offset == 0
    materializer.run_to_head()
    materializer.close()
    undisturbed.assert_equals(settings)


@pytest.mark.parametrize("damaged", ["state-0of1.db", "online.db"])
@pytest.mark.parametrize("any_store", ["sqlite"], indirect=True)
def test_the_remedy_for_a_damaged_file_gives_the_same_rows(
    any_store: tuple[Settings, Engine], undisturbed: Undisturbed, damaged: str
) -> None:
    settings, engine = any_store
    materializer = Materializer(settings, engine, read=50)
    steps(materializer, 1_200)
    materializer.flush()
    materializer.close()
    del materializer
    for path in settings.features_dir.glob(f"{damaged}*"):
        path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(Unavailable, match="damaged"):
        Materializer(settings, engine)
    for pattern in (f"{damaged}*", *(["online-*.json"] if damaged == "online.db" else [])):
        for path in settings.features_dir.glob(pattern):
            path.unlink()
    materializer = Materializer(settings, engine)
    materializer.run_to_head()
    materializer.close()
    undisturbed.assert_equals(settings)


@pytest.mark.parametrize("any_store", ["sqlite"], indirect=True)
def test_a_rebuild_needs_no_readable_manifest_or_state(
    any_store: tuple[Settings, Engine], undisturbed: Undisturbed
) -> None:
    settings, engine = any_store
    materializer = Materializer(settings, engine)
    materializer.run_to_head()
    materializer.close()
    for name in ("state-0of1.db", "segments/manifest-0of1.json", "online-0of1.json"):
        (settings.features_dir / name).write_bytes(b"x")
    delete_rows(settings)
    materializer = Materializer(settings, engine)
    materializer.run_to_head()
    materializer.close()
    undisturbed.assert_equals(settings)


@pytest.mark.parametrize("on_server", SERVERS, indirect=True)
def test_a_worker_that_was_replaced_writes_nothing(
    on_server: tuple[Settings, Engine], undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, engine = on_server
    replaced = Materializer(settings, engine, read=50)
    steps(replaced, 400)
    # Folded, but not yet written.
    monkeypatch.setattr(materialize, "_CHANGES", 10**9)
    replaced._settings = settings.model_copy(update={"segment_flush_s": 1e9})
    steps(replaced, 500)
    current = Materializer(settings, engine, read=50)
    rows = segment_rows(settings)
    for write in (replaced.flush, replaced.restore):
        with pytest.raises(Conflict, match="Another worker has taken over"):
            write()
    assert segment_rows(settings) == rows
    replaced.close()
    current.run_to_head()
    current.close()
    undisturbed.assert_equals(settings)


@pytest.mark.parametrize("any_store", STATE_STORES, indirect=True)
def test_deleted_rows_are_computed_again(any_store: tuple[Settings, Engine], undisturbed: Undisturbed) -> None:
    settings, engine = any_store
    for _ in range(2):
        materializer = Materializer(settings, engine)
        assert materializer.offset == 0
        materializer.run_to_head()
        materializer.close()
        undisturbed.assert_equals(settings)
        delete_rows(settings)
