"""URLs of SQLite files. Percent signs and question marks in a path don't end or change it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote


def sqlite_url(path: Path) -> str:
    """SQLAlchemy's URL of an SQLite file.

    >>> sqlite_url(Path("/srv/50% off/leads.db"))
    'sqlite:////srv/50%25 off/leads.db'
    """
    return f"sqlite:///{_quoted(path)}"


def mlflow_url(path: Path) -> str:
    """MLflow's URL of an SQLite file."""
    # With the short name of the driver, MLflow would create the folder that the URL names before it is unquoted.
    return sqlite_url(path) if _quoted(path) == str(path) else f"sqlite+pysqlite:///{_quoted(path)}"


def sqlite_file(url: str) -> Path | None:
    """The file that a URL names, which may not exist; None if it isn't a URL of an SQLite file.

    >>> sqlite_file("sqlite:////srv/50%25 off/leads.db")
    PosixPath('/srv/50% off/leads.db')
    """
    driver, found, path = url.partition(":///")
    is_file = bool(found) and driver.partition("+")[0] == "sqlite"
    return Path(unquote(path.partition("?")[0])) if is_file else None


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3F")
