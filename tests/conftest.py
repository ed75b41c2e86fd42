"""Shared fixtures: settings of their own, and real stores.

`LEADS_TEST_DATABASE_URL` (a PostgreSQL whose user may create databases) and `LEADS_TEST_REDIS` (`host:port`, its
database is emptied) stand in for the servers that come as wheels.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

# Before BentoML is imported, which sets PROMETHEUS_MULTIPROC_DIR: the client looks at it once, when it is imported.
import prometheus_client  # noqa: F401
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings as hypothesis_settings
from sqlalchemy.engine import Engine

from benchmarks.homes import redis_server
from leads.db.engine import migrate, open_engine
from leads.errors import ConfigurationError
from leads.settings import Settings, load_settings
from tests.support.paths import memory_for_tests
from tests.support.training.copied_registries import copied_registries

# Shared machines stall: a slow example is no failure. Equal runs draw equal examples.
hypothesis_settings.register_profile("leads", deadline=None, derandomize=True)
hypothesis_settings.load_profile("leads")


# pytest keeps the tests' folders there.
if memory := memory_for_tests():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_sessionstart() -> None:
    """Collecting makes a million objects and hardly any garbage, so nothing searches for it meanwhile."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was collected stays until the end, so that Python needn't search it again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()


# The folders of `tests` whose files take longest.
LONGEST = ("e2e", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: a file stays with one worker, and none should begin when the others are done."""
    tests = Path(__file__).parent

    def turn(item: pytest.Item) -> int:
        folder = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=turn)


@pytest.fixture(scope="session", autouse=True)
def _copied_registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that create model registries in this process get copies of the first one."""
    with copied_registries(tmp_path_factory.mktemp("registry") / "mlflow.db"):
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the caller's shell must not reach a test; where the corpora are may."""
    for name in list(os.environ):
        if name.startswith("LEADS_") and not name.startswith("LEADS_TEST_") and name != "LEADS_CORPORA":
            monkeypatch.delenv(name)
    # Importing BentoML sets it for the whole process.
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


@pytest.fixture(autouse=True)
def _own_umask() -> Iterator[None]:
    """What a command sets for its process must not reach the next test. Most hosts let everybody read new files."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home of the test's own, without corpora."""
    return load_settings(home=tmp_path / "home", corpora=Path())


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with its tables, to copy: migrating takes much longer."""
    made = load_settings(home=tmp_path_factory.mktemp("migrated"), corpora="none", database_url=None)
    migrate(made)
    return Path(str(sa.make_url(made.database).database))


@pytest.fixture
def engine(settings: Settings, migrated_sqlite: Path) -> Iterator[Engine]:
    """The settings' SQLite database."""
    _copy(migrated_sqlite, settings)
    opened = open_engine(settings)
    yield opened
    opened.dispose()


def _copy(migrated: Path, settings: Settings) -> None:
    target = Path(str(sa.make_url(settings.database).database))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(migrated, target)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """SQLAlchemy URL of a PostgreSQL server, one for each test process.

    Its data don't lie below pytest's folder: run by root, the server works as another user, and each start of pytest
    closes that folder to others again, which ends the servers in it.
    """
    given = os.environ.get("LEADS_TEST_DATABASE_URL")
    if given:
        yield given
        return
    import pgserver

    with tempfile.TemporaryDirectory(prefix="leads-postgresql-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        # Its data needn't outlive the host, so no commit waits for the disk.
        server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf();")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture(scope="session")
def administer(postgresql_server: str) -> Iterator[Callable[[str], None]]:
    """Executes a statement on the PostgreSQL server, outside of transactions."""
    admin = sa.create_engine(postgresql_server, isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    def execute(statement: str) -> None:
        with admin.connect() as connection:
            connection.execute(sa.text(statement))

    yield execute
    admin.dispose()


@pytest.fixture
def postgresql_url(postgresql_server: str, administer: Callable[[str], None]) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    administer(f"CREATE DATABASE {name}")
    yield sa.make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
    administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def any_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with each kind of database in turn. Without `any_engine`, the database is empty."""
    url = None
    if request.param == "postgresql":
        with_tables = "any_engine" in request.fixturenames
        url = request.getfixturevalue("migrated_postgresql_url" if with_tables else "postgresql_url")
    return load_settings(home=tmp_path / "home", corpora=Path(), database_url=url)


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: str, administer: Callable[[str], None]) -> str:
    """The name of a PostgreSQL database with its tables, to create others from."""
    name = f"migrated_{uuid.uuid4().hex}"
    administer(f"CREATE DATABASE {name}")
    url = sa.make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
    with tempfile.TemporaryDirectory() as home:
        migrate(load_settings(home=Path(home), corpora="none", database_url=url))
    return name


@pytest.fixture
def migrated_postgresql_url(
    postgresql_server: str, migrated_postgresql: str, administer: Callable[[str], None]
) -> Iterator[str]:
    """SQLAlchemy URL of a database of the test's own, its tables created."""
    name = f"test_{uuid.uuid4().hex}"
    administer(f"CREATE DATABASE {name} TEMPLATE {migrated_postgresql}")
    yield sa.make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
    administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def any_engine(any_settings: Settings, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database of each kind in turn without content, its tables created."""
    if sa.make_url(any_settings.database).get_backend_name() == "sqlite":
        _copy(request.getfixturevalue("migrated_sqlite"), any_settings)
    opened = open_engine(any_settings)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def corpora_dir() -> Path:
    """The public corpora; the test is skipped where there are none."""
    try:
        found = load_settings().corpora_dir
    except ConfigurationError as error:
        pytest.fail(str(error))
    if found is None:
        pytest.skip("corpora not found: set LEADS_CORPORA")
    return found


@pytest.fixture
def redis_address() -> Iterator[str]:
    """An empty Redis, as `LEADS_REDIS_URL` names it."""
    import redis

    given = os.environ.get("LEADS_TEST_REDIS")
    if given:
        host, _, port = given.partition(":")
        with redis.Redis(host=host, port=int(port or 6379)) as client:
            client.flushdb()
        yield given
        return
    with redis_server() as address:
        yield address


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread, to call asynchronous code from synchronous tests."""
    with start_blocking_portal() as opened:
        yield opened
