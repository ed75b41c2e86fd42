"""`trained_on.npy`: which rows a version was trained on, as hashes, so that it is never measured on one of them."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from leads.errors import ModelRefused
from models.manifest import TRAINED_ON, read_file
from models.version import ModelVersion

Groups = npt.NDArray[np.uint64]


def to_bytes(groups: Groups) -> bytes:
    """The file's content: the distinct groups, sorted.

    Args:
        groups: (n,) a 64-bit hash of each row's text, or of its subject if it has no text.
    """
    sink = io.BytesIO()
    np.save(sink, np.unique(groups).astype("<u8"), allow_pickle=False)
    return sink.getvalue()


def read(version: ModelVersion) -> Groups | None:
    """The sorted groups of the rows that a version was trained on; None if an earlier release made it, which recorded
    none.

    Raises:
        ModelRefused: the file can't be read.
    """
    if not (version.folder / TRAINED_ON).is_file():
        return None
    try:
        groups = np.load(io.BytesIO(read_file(version.folder, TRAINED_ON)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ModelRefused(
            f"{TRAINED_ON} can't be read: {error}", field=TRAINED_ON, remedy="Fetch the version again."
        ) from error
    if groups.dtype != np.uint64 or groups.ndim != 1:
        raise ModelRefused(
            f"{TRAINED_ON} must hold one row of 64-bit hashes, but holds {groups.dtype} in {groups.ndim} dimensions.",
            field=TRAINED_ON,
            remedy="Fetch the version again.",
        )
    return np.asarray(groups)
