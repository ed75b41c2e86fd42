"""Private names of other libraries that this project uses. When one disappears, this file says so and where it hurts.

Each is used because the public way is much slower. Ranges in pyproject.toml are wide, so a new release may drop one.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

pytestmark = pytest.mark.slow

REMEDY = "It is used by {used_by}: find its replacement there, or narrow the range in pyproject.toml."


@contextmanager
def used_by(place: str) -> Iterator[None]:
    """Any failure inside names the module that relies on the private name."""
    try:
        yield
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}. {REMEDY.format(used_by=place)}")


@pytest.fixture(autouse=True)
def _imports_may_warn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_redis(redis_address: str) -> None:
    with used_by("features/online/redis_connections.py"):
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        from features.redis.address import redis_options

        client = redis.Redis(**redis_options(redis_address), retry=Retry(NoBackoff(), 0), protocol=2)
        connection = client.connection_pool.make_connection()
        connection.connect()
        connection._sock.sendall(b"*1\r\n$4\r\nPING\r\n")
        connection._sock.settimeout(10)
        assert connection._sock.recv(16) == b"+PONG\r\n"
        connection.disconnect()
        client.close()


def test_xgboost() -> None:
    with used_by("models/trees.py"):
        import xgboost
        from xgboost import core

        assert callable(core._check_call)
        assert core._LIB.XGBoosterPredictFromDense
        assert callable(core._ProxyDMatrix)
        matrix = np.float32([[1.0], [2.0]])
        booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(matrix, label=[0.0, 1.0]), 1)
        assert booster.handle


def test_prometheus_client() -> None:
    with used_by("serving/observe/metrics.py"):
        from prometheus_client import CollectorRegistry, Histogram

        child = Histogram("h", "h", ["x"], buckets=(1.0,), registry=CollectorRegistry()).labels("a")
        assert list(child._upper_bounds) == [1.0, float("inf")]
        child._sum.inc(2.0)
        child._buckets[0].inc(1)


def test_prometheus_client_names_the_files_of_gauges(tmp_path: object) -> None:
    code = (
        "from prometheus_client import Gauge\n"
        "Gauge('g', 'g', multiprocess_mode='livesum').set(1)\n"
        "Gauge('m', 'm', multiprocess_mode='livemax').set(1)\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with used_by("serving/observe/metrics_text.py"):
        child = subprocess.Popen([sys.executable, "-c", code], env=environment)
        assert child.wait(60) == 0
        assert sorted(os.listdir(str(tmp_path))) == [f"gauge_livemax_{child.pid}.db", f"gauge_livesum_{child.pid}.db"]


def test_uvicorn() -> None:
    with used_by("serving/http/access/connections.py, which limits uvicorn's protocol"):
        from uvicorn.config import HTTP_PROTOCOLS, WS_PROTOCOLS, Config
        from uvicorn.protocols.http import httptools_impl
        from uvicorn.protocols.http.auto import AutoHTTPProtocol
        from uvicorn.server import ServerState

        protocol = httptools_impl.HttpToolsProtocol
        assert AutoHTTPProtocol is protocol
        assert "auto" in HTTP_PROTOCOLS
        assert WS_PROTOCOLS["none"] is None
        assert inspect.signature(Config.__init__).parameters["http"].default == "auto"
        assert b"431" in httptools_impl.STATUS_LINE[431]
        for callback in (
            "on_message_begin", "on_header", "on_headers_complete", "on_body", "on_message_complete",
            "on_response_complete", "send_400_response", "_unsupported_upgrade_warning",
        ):  # fmt: skip
            assert callable(getattr(protocol, callback)), callback
        made = protocol(Config(lambda: None, log_config=None), ServerState(), {}, _loop=object())  # type: ignore[arg-type]
        assert {"cycle", "pipeline", "transport", "loop", "ws_protocol_class"} <= set(vars(made))
        cycle = inspect.signature(httptools_impl.RequestResponseCycle.__init__).parameters
        assert {"scope", "message_event"} <= set(cycle)
        source = inspect.getsource(httptools_impl.RequestResponseCycle)
        for attribute in ("disconnected", "response_started", "response_complete"):
            assert f"self.{attribute} = " in source, attribute


def test_bentoml_lets_uvicorn_choose_its_protocol() -> None:
    with used_by("serving/http/access/connections.py"):
        from _bentoml_impl.worker import service

        source = inspect.getsource(service)
        assert "uvicorn.Config(" in source
        assert "http=" not in source
        # The protocol is replaced while the service is imported, which has to come first.
        assert source.index("load(bento_identifier") < source.index("uvicorn.Config(")


def test_evidently() -> None:
    with used_by("tests/unit/monitoring/drift/test_statistics.py and benchmarks/monitoring/speed.py"):
        import pandas as pd
        from evidently.legacy.calculations.stattests import wasserstein_stat_test
        from evidently.legacy.core import ColumnType

        sample = pd.Series([0.0, 1.0, 2.0])
        statistic, _ = wasserstein_stat_test.func(sample, sample + 1, ColumnType.Numerical, 0.1)
        assert statistic > 0


def test_feast_s_storage_helpers() -> None:
    from features.feast.store import import_feast

    import_feast()
    with used_by("features/feast/guarded_sqlite.py and features/online/codec.py"):
        from feast.infra.key_encoding_utils import serialize_entity_key
        from feast.infra.online_stores.helpers import (
            compute_table_id,
            extract_text_and_num,
            get_online_store_from_config,
        )
        from feast.infra.online_stores.sqlite import SqliteOnlineStore
        from feast.utils import make_tzaware

        assert callable(make_tzaware)
        assert callable(get_online_store_from_config)
        assert list(inspect.signature(serialize_entity_key).parameters)[:2] == [
            "entity_key",
            "entity_key_serialization_version",
        ]
        assert len(inspect.signature(compute_table_id).parameters) == 3
        assert len(inspect.signature(extract_text_and_num).parameters) == 2
        assert SqliteOnlineStore()._conn is None
        assert list(inspect.signature(SqliteOnlineStore._get_conn).parameters) == ["self", "config"]


def test_feast_s_configuration() -> None:
    from features.feast.store import import_feast

    import_feast()
    with used_by("features/feast/repo_settings.py and features/online/writer.py"):
        from feast.infra.online_stores.redis import RedisOnlineStoreConfig
        from feast.infra.registry.file import FileRegistryStore
        from feast.repo_config import RegistryConfig

        assert "skip_dedup" in RedisOnlineStoreConfig.model_fields
        assert "enable_online_feature_view_versioning" in RegistryConfig.model_fields
        assert list(inspect.signature(FileRegistryStore.__init__).parameters)[:3] == [
            "self",
            "registry_config",
            "repo_path",
        ]


def test_typeguard() -> None:
    with used_by("features/feast/store.py, which imports Feast without its run-time type checks"):
        import typeguard

        assert callable(typeguard.typechecked)
    code = (
        "import time, typeguard; asked = []\n"
        "typeguard.typechecked = lambda target=None, **k: asked.append(1) or (target or (lambda inner: inner))\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "import feast; assert asked, 'Feast does not use typeguard.typechecked any more'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stderr[-500:]} {REMEDY.format(used_by='features/feast/store.py')}"


def test_mlflow() -> None:
    with used_by("models/registry/mlflow_client.py"):
        from mlflow.store.db import utils

        assert next(iter(inspect.signature(utils._get_alembic_config).parameters)) == "db_url"
        folder = os.path.join(os.path.dirname(os.path.dirname(utils.__file__)), "db_migrations")
        assert utils._get_alembic_config("sqlite://").get_main_option("script_location") == folder
