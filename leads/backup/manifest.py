"""What a backup says about itself: `manifest.json`, which is written last."""

from __future__ import annotations

from importlib import metadata
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from leads.errors import ConfigurationError, InvalidInput

NAME = "manifest.json"
KIND = "lead-serving backup"
FORMAT = 1
# The folders of a backup, and those of a home that it holds.
DATABASE, MLFLOW, HOME, CONFIGURATION = "database", "mlflow", "home", "configuration"
ARTIFACTS, PREDICTIONS = "mlartifacts", "predictions"
KEPT = (ARTIFACTS, "labels", "tuned", PREDICTIONS)
MLFLOW_FILE = f"{MLFLOW}/mlflow.db"
Mlflow = Literal["embedded", "elsewhere", "none"]
# More than any manifest has.
MAX_BYTES = 1 << 30


class BackedUpFile(msgspec.Struct, frozen=True):
    """A file of a backup. Its name is relative, with slashes."""

    name: str
    size: int
    sha256: str


class BackedUpDatabase(msgspec.Struct, frozen=True):
    """The database of a backup.

    Args:
        kind: `sqlite` or `postgresql`. It can be restored into either.
        revision: the schema's.
        offset: of the newest event.
        size: of the database, in bytes.
        rows: their number by table.
    """

    kind: str
    revision: str
    offset: int
    size: int
    rows: dict[str, int]


class Manifest(msgspec.Struct, frozen=True):
    """The contents of a backup.

    Args:
        created_at: RFC 3339.
        database: None if only the files of a home were backed up.
        mlflow: `embedded` if MLflow's database is in the backup, `elsewhere` if MLflow runs on a server, `none` if
            nothing was trained yet.
    """

    kind: str
    format: int
    release: str
    created_at: str
    database: BackedUpDatabase | None
    mlflow: Mlflow
    files: list[BackedUpFile]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


class _Head(msgspec.Struct):
    kind: str = ""
    format: int = 0
    release: str = ""


def release() -> str:
    """The version of this release."""
    try:
        return metadata.version("lead-serving")
    except metadata.PackageNotFoundError:
        return "unknown"


def decode(raw: bytes, where: str) -> Manifest:
    """Parse a manifest.

    Args:
        where: the backup, for errors.

    Raises:
        InvalidInput: it isn't one, or it is damaged.
        ConfigurationError: a newer release wrote it.
    """
    try:
        head = msgspec.json.decode(raw, type=_Head)
        if head.kind != KIND:
            raise InvalidInput("This is not a backup of Lead Serving.", field=where, remedy="Name one: leads backup")
        if head.format > FORMAT:
            raise newer(where, head.release)
        found = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise damaged(NAME, f"is not valid ({error})", where) from error
    for file in found.files:
        _check_name(file.name, where)
    return found


def damaged(name: str, what: str, where: str) -> InvalidInput:
    """The error of a backup in which a file is missing or wrong."""
    return InvalidInput(f"The backup is damaged: {name} {what}.", field=where, remedy="Use another backup.")


def newer(where: str, by: str) -> ConfigurationError:
    """The error of a backup that this release can't restore."""
    return ConfigurationError(
        f"The backup was made by the newer release {by}; this is {release()}.",
        field=where,
        remedy="Install that release, then run this command again.",
    )


def _check_name(name: str, where: str) -> None:
    """Only names that stay in the folders of a backup are valid."""
    parts = PurePosixPath(name).parts
    known = len(parts) > 1 and parts[0] in (DATABASE, MLFLOW, HOME, CONFIGURATION)
    if not known or ".." in parts or "\0" in name or (parts[0] == HOME and parts[1] not in KEPT):
        raise damaged(NAME, f"names the file {name!r}, which no backup contains", where)
