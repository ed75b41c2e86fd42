"""Model registries that are copied where a test would create them: MLflow's migrations take longer than most tests.

Those of child processes are created as always.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from leads.files import private_folder
from models.registry.mlflow_client import Connector


@contextmanager
def copied_registries(template: Path) -> Iterator[None]:
    """Until the block ends, an embedded model registry begins as a copy of the first one, which is kept at `template`.

    Args:
        template: a file that doesn't exist yet, in a folder that nothing else uses.
    """
    real = Connector._connect

    def connect(self: Connector, *, create: bool) -> object:
        file = self._settings.mlflow_file
        new = create and file is not None and not file.exists()
        if new and file is not None and template.exists():
            private_folder(file.parent)
            shutil.copy(template, file)
        client = real(self, create=create)
        if new and file is not None and not template.exists():
            _copy_of(file, template)
        return client

    with patch.object(Connector, "_connect", connect):
        yield


def _copy_of(file: Path, copy: Path) -> None:
    """A copy of an open SQLite database."""
    opened, copied = sqlite3.connect(file), sqlite3.connect(copy)
    with opened, copied:
        opened.backup(copied)
    opened.close()
    copied.close()
