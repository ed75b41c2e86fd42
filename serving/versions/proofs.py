"""`proof.json` in a published folder: says that the version's golden rows reproduced here, so that nobody checks again.

Golden rows depend on three things: the version's files, the code that scores them, and the libraries and processor that
this code runs on. A proof names all three. It also holds each file's size and times, so that the follower can notice
cheaply that a file has changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import xgboost

from leads import clock
from leads.clock import Micros
from leads.errors import FilesDamaged
from leads.files import write_json
from leads.settings import PACKAGES
from models import golden, manifest
from models.version import ModelVersion

PROOF = "proof.json"
# The code that golden rows depend on.
_CODE = ("models", "leads/text.py", "features/contract.py")
_log = logging.getLogger(__name__)


class FileMark(msgspec.Struct, frozen=True):
    """What changes when a file is written, replaced or made unreadable."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `proof.json`.

    Args:
        manifest: SHA-256 of `model.json`, which lists the hash of every other file.
        made_with: what `made_with` returned.
        golden_rows: how many golden rows reproduced; `tolerance`: how far they may be off.
        files: by name, what the file system said about each file.
        proved_at: µs since epoch.
    """

    harm: str
    version: str
    contract_hash: str
    manifest: str
    made_with: Mapping[str, str]
    golden_rows: int
    tolerance: float
    files: Mapping[str, FileMark]
    proved_at: Micros

    def holds(self, harm: str, version: str) -> bool:
        """Whether it is about this version, and was made with the code and libraries of this process."""
        return (self.harm, self.version) == (harm, version) and self.made_with == made_with()


def proof_of(version: ModelVersion, files: Mapping[str, FileMark]) -> Proof:
    """The proof of a version that has just been verified.

    Args:
        files: the `marks` of its folder from before it was read.
    """
    rows = golden.GoldenRows.from_json(manifest.read_file(version.folder, manifest.GOLDEN))
    return Proof(
        harm=version.harm,
        version=version.version,
        contract_hash=version.contract_hash,
        manifest=manifest.sha256(manifest.read_file(version.folder, manifest.MANIFEST)),
        made_with=made_with(),
        golden_rows=len(rows.score),
        tolerance=golden.tolerance(version.encodes),
        files=files,
        proved_at=clock.now(),
    )


def read_proof(folder: Path) -> Proof | None:
    """The folder's proof; None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / PROOF).read_bytes(), type=Proof)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write_proof(folder: Path, proof: Proof) -> None:
    """Write the proof into the folder. Without it, each process verifies the version itself, so failing is no error."""
    try:
        write_json(folder / PROOF, proof)
    except OSError as error:
        _log.warning("can't write the proof of %s version %s: %s", proof.harm, proof.version, error)


def marks(folder: Path) -> dict[str, FileMark]:
    """The marks of every file in the folder but the proof; files that can't be looked at are missing."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                # Names that begin with a dot are drafts of a proof.
                if entry.name != PROOF and not entry.name.startswith("."):
                    seen = entry.stat()
                    found[entry.name] = FileMark(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
    except OSError:
        pass
    return found


def check_manifest(folder: Path, proof: Proof) -> None:
    """Raises FilesDamaged unless the folder's `model.json` is the one of the proof."""
    if manifest.sha256(manifest.read_file(folder, manifest.MANIFEST)) != proof.manifest:
        raise FilesDamaged(
            f"{manifest.MANIFEST} differs from the file that was verified.",
            field=manifest.MANIFEST,
            remedy="Fetch the version again.",
        )


@cache
def made_with() -> dict[str, str]:
    """The code, libraries and processor that this process scores with."""
    return {
        "code": _code(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "xgboost": xgboost.__version__,
        "processor": _processor(),
    }


def _code() -> str:
    """A hash of the source files that scores depend on. A release's number would miss changes in a checkout."""
    digest = hashlib.sha256()
    for place in _CODE:
        path = PACKAGES / place
        for one in sorted(path.rglob("*.py") if path.is_dir() else path.parent.glob(path.name)):
            digest.update(one.relative_to(PACKAGES).as_posix().encode() + b"\0" + one.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _processor() -> str:
    """The processor's model: NumPy chooses its instructions by it."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
