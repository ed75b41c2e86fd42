"""`model.json`: what a version's folder holds, with the hash of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from leads.clock import Micros
from leads.errors import ModelRefused

MANIFEST, CONTRACT, BOOSTER, TEXT = "model.json", "contract.json", "booster.ubj", "text.npz"
CALIBRATOR, THRESHOLDS, GOLDEN = "calibrator.json", "thresholds.json", "golden.json"
REFERENCE, METRICS, CARD = "reference.parquet", "metrics.json", "model_card.md"
# Which version a fetched folder is. The registry gives the number after the folder is written, so no hash covers it.
VERSION = "version.txt"
TEXT_SCORE = "text.score"
StartsFrom = Literal["text", "prior", "booster"]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Args:
    format: of the folder; a reader refuses one that it doesn't know.
    input_names: the booster's columns in order: the contract's, then `text.score` when the text is judged.
    starts_from: where the margin starts before the trees: at the text's log-odds (`prior_log_odds` without any), at
        `prior_log_odds`, or where the booster itself does, as one's own XGBoost model would have it.
    prior_log_odds: 0 where the booster starts by itself.
    created_at: µs since epoch.
    files: SHA-256 in hex of every file but this one.
    """

    harm: str
    contract_hash: str
    uses_text: bool
    input_names: tuple[str, ...]
    starts_from: StartsFrom
    prior_log_odds: float
    created_at: Micros
    files: Mapping[str, str]
    format: Literal[2] = 2


def read_file(folder: Path, name: str) -> bytes:
    """Raises ModelRefused when it isn't there or can't be read."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelRefused(
            f"{name} can't be read: {error.strerror}.", field=name, remedy="Fetch the version again."
        ) from error


def read_manifest(folder: Path) -> Manifest:
    """Raises ModelRefused when it isn't there or isn't of a format that this code knows."""
    try:
        return msgspec.json.decode(read_file(folder, MANIFEST), type=Manifest)
    except msgspec.MsgspecError as error:
        raise ModelRefused(
            f"{MANIFEST} is not of format 2: {error}.", field=MANIFEST, remedy="Train the harm again with this code."
        ) from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises ModelRefused naming the first file whose content is not what the manifest says."""
    for name, expected in manifest.files.items():
        if sha256(read_file(folder, name)) != expected:
            raise ModelRefused(
                f"{name} is not the file that was registered.", field=name, remedy="Fetch the version again."
            )


def sha256(raw: bytes) -> str:
    """In hex."""
    return hashlib.sha256(raw).hexdigest()
