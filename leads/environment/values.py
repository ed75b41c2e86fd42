"""Checks of settings whose type alone doesn't say what is valid. Each raises ValueError with a sentence's end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

# Feast 0.67's names of its online stores; others are given as the dotted name of a class.
# fmt: off
FEAST_ONLINE_STORES = frozenset((
    "aerospike", "bigtable", "cassandra", "chronon", "couchbase.online", "datastore", "dynamodb", "elasticsearch",
    "hazelcast", "hbase", "hybrid", "milvus", "mongodb", "mysql", "postgres", "qdrant", "redis", "remote", "scylladb",
    "singlestore", "snowflake.online", "sqlite",
))
# fmt: on


def checked_store(name: str) -> str:
    """The name of a Feast online store, or the dotted name of its class."""
    if name in FEAST_ONLINE_STORES or ("." in name and name.endswith("OnlineStore")):
        return name
    raise ValueError("not a Feast online store; use its name, or the dotted name of a class `….…OnlineStore`")


def checked_options(text: str) -> dict[str, Any]:
    """The JSON object that a text contains.

    >>> checked_options('{"port": 5432}')
    {'port': 5432}
    """
    try:
        options = json.loads(text or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict):
        # Neither the error nor its cause quotes the text: it may contain a password.
        message = 'must be a JSON object, for example {"host": "localhost", "port": 5432}'
        raise ValueError(message) from None
    return options


def checked_home(home: Path) -> Path:
    """A folder that exists or can be created, as far as its path says."""
    try:
        path = home.expanduser()
    except RuntimeError:
        # Whoever needs the folder says that the user has no home directory.
        return home
    nearest = next((one for one in (path, *path.parents) if os.path.exists(one)), None)
    if nearest is not None and not os.path.isdir(nearest):
        message = f"{nearest} is a file; give the path of a folder"
        raise ValueError(message)
    return home
