"""MLflow's client. It connects on the first call, and its errors are translated to ours."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from leads.environment import process
from leads.errors import Unavailable
from leads.files import private_folder
from leads.settings import Settings
from models.registry.moved_home import HomeFollower

if TYPE_CHECKING:
    from alembic.config import Config
    from mlflow import MlflowClient

T = TypeVar("T")
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
_REMEDY = "Check LEADS_MLFLOW_URI, and that the MLflow server is running."


class Connector:
    """One client for all calls. Every call raises Unavailable if MLflow can't be reached."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connected: MlflowClient | None = None
        self._home = HomeFollower(settings)

    @contextmanager
    def client(self, *, create: bool = False) -> Iterator[MlflowClient]:
        """The client, with MLflow's errors translated.

        Args:
            create: create an embedded registry if there is none yet.
        """
        _configure()
        if self._connected is None and process.lacks():
            # MLflow looks for the home directory when it is imported.
            process.replace_missing(self._settings.root)
        with warnings.catch_warnings():
            # MLflow and its dependencies warn about each other; users can't act on that.
            warnings.simplefilter("ignore")
            # Not within the block that handles errors, whose handlers use these names.
            import mlflow
            from sqlalchemy.exc import SQLAlchemyError
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._home.follow()
                if self._connected is None:
                    self._connected = self._connect(create=create)
                yield self._connected
        except (mlflow.MlflowException, SQLAlchemyError, ConnectionError) as error:
            # Only the kind of error, since the message may contain the address with a password in it.
            kind = getattr(error, "error_code", type(error).__name__)
            raise Unavailable(f"MLflow can't be reached ({kind}).", field="LEADS_MLFLOW_URI", remedy=_REMEDY) from error

    def exists(self) -> bool:
        """Whether there is a registry: an embedded one is created by the first training."""
        file = self._settings.mlflow_file
        return file is None or file.is_file()

    def _connect(self, *, create: bool) -> MlflowClient:
        from mlflow import MlflowClient

        uri, file = self._settings.mlflow, self._settings.mlflow_file
        if file is not None:
            if not create and not self.exists():
                raise Unavailable("There is no model registry yet.", field=str(file), remedy="Run: leads train --all")
            private_folder(file.parent)
            _allow_percent_signs()
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _configure() -> None:
    """Turn off log messages and telemetry, and give up on a server that is down within seconds instead of minutes."""
    for name in ("alembic", "mlflow.models", "mlflow.store", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _allow_percent_signs() -> None:
    """Let MLflow find its migrations in a folder whose path contains a percent sign.

    It gives the path to a ConfigParser, which takes the sign for the start of an interpolation.
    """
    from mlflow.store.db import utils

    migrations = str(Path(utils.__file__).parent.parent / "db_migrations")
    if "%" in migrations:
        utils._get_alembic_config = partial(_alembic_config, alembic_dir=migrations)


def _alembic_config(db_url: str, alembic_dir: str) -> Config:
    from alembic.config import Config

    config = Config()
    for name, value in (("script_location", alembic_dir), ("sqlalchemy.url", db_url)):
        config.set_main_option(name, value.replace("%", "%%"))
    return config


def found(look: Callable[[], T]) -> T | None:
    """The result of `look`; None if MLflow says that it doesn't exist."""
    from mlflow import MlflowException

    try:
        return look()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
