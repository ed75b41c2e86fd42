"""Copies a folder of the registry's artifacts to this host, where it appears in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from leads.errors import ModelRefused
from leads.files import private_folder
from leads.settings import Settings


def download(settings: Settings, source: str, folder: Path, complete: Callable[[Path], None]) -> None:
    """Copy artifacts to `folder`, once `complete` accepts them. What was there before is replaced.

    Call it while a client is open, which translates MLflow's errors.

    Args:
        source: the URI of a folder of artifacts.
        complete: called with the copy. Raises if it isn't what it should be, and may add files.

    Raises:
        ModelRefused: the artifacts can't be read.
    """
    from mlflow.artifacts import download_artifacts

    private_folder(folder.parent)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir()
        # MLflow passes on the file system's own error if artifacts are missing.
        try:
            download_artifacts(source, dst_path=str(draft), tracking_uri=settings.mlflow)
        except OSError as error:
            raise ModelRefused(f"The artifacts can't be read: {error}.", field=source) from error
        copied = draft / PurePosixPath(source).name
        complete(copied)
        shutil.rmtree(folder, ignore_errors=True)
        copied.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
