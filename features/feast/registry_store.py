"""Feast's file registry, in which a home that was moved, copied or restored elsewhere finds its own files.

The registry holds absolute paths: of our segments, and of the tables of the SQLite online store. They are changed to
the registry's own folder whenever it is read, so neither Feast nor its command line reads, writes or drops anything in
the place where the home was before. Sources of the user's own views keep their paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.DataSource_pb2 import DataSource
from feast.protos.feast.core.Registry_pb2 import Registry

# Our sources are named after a view's table, and their segments lie below the folder of their generation of features.
_SOURCE = re.compile(r"[a-z]+(_\d+)?_segments")
_PATH = re.compile(r"/features/((?:generation-\d+/)?segments/.*)$")


class HomeRegistryStore(FileRegistryStore):  # type: ignore[misc]
    """A file registry in the `features` folder of a home."""

    def get_registry_proto(self) -> Registry:
        """The registry, with the paths that hold in this home."""
        registry: Registry = super().get_registry_proto()
        follow_home(registry, self._filepath.parent)
        return registry


def follow_home(registry: Registry, features: Path) -> None:
    """Change the paths of what lies in a home to this folder of features."""
    for source in _sources(registry):
        match = _PATH.search(source.file_options.uri)
        if match and _SOURCE.fullmatch(source.name):
            source.file_options.uri = str(features / match[1])
    for one in registry.infra.infra_objects:
        if Path(one.sqlite_table.path).name == "online.db":
            one.sqlite_table.path = str(features / "online.db")


def _sources(message: Any) -> Iterator[Any]:
    """Every data source in a message: Feast stores those of a view again with each object that uses the view."""
    if isinstance(message, DataSource):
        yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        # One message, a map, or a list.
        inner = [value] if hasattr(value, "ListFields") else value.values() if hasattr(value, "values") else value
        for one in inner:
            if hasattr(one, "ListFields"):
                yield from _sources(one)
