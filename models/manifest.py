"""`model.json`: describes a version's folder and lists the hash of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from leads.clock import Micros
from leads.errors import FilesDamaged

MANIFEST, CONTRACT, BOOSTER, TEXT = "model.json", "contract.json", "booster.ubj", "text.npz"
CALIBRATOR, THRESHOLDS, GOLDEN = "calibrator.json", "thresholds.json", "golden.json"
REFERENCE, METRICS, CARD = "reference.parquet", "metrics.json", "model_card.md"
# Versions made by earlier releases lack them.
TRAINED_ON, LANGUAGES = "trained_on.npy", "languages.json"
# The number of a fetched version. The registry assigns it after the folder is written, so it isn't hashed.
VERSION = "version.txt"
TEXT_SCORE = "text.score"
StartsFrom = Literal["text", "prior", "booster"]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `model.json`.

    Args:
        format: of the folder. A reader refuses formats that it doesn't know.
        input_names: the booster's columns in order: the contract's features, then `text.score` if the text is scored.
        starts_from: where the margin starts before the trees. `text`: at the text's log-odds, or at `prior_log_odds`
            without text; `prior`: at `prior_log_odds`; `booster`: at the booster's own base score, for a model that was
            fitted elsewhere.
        prior_log_odds: 0 if `starts_from` is `booster`.
        created_at: µs since epoch.
        files: hex SHA-256 of every other file, by name.
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
    """The content of a file. Raises FilesDamaged if it is missing or can't be read."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise FilesDamaged(
            f"{name} can't be read: {error.strerror}.", field=name, remedy="Fetch the version again."
        ) from error


def read_checked(folder: Path, manifest: Manifest, name: str) -> bytes:
    """The content of a file, which must have the manifest's hash. Other threads run while it is read and hashed.

    Raises:
        FilesDamaged: it is missing, can't be read, or differs from the file that was registered.
    """
    raw = read_file(folder, name)
    if sha256(raw) != manifest.files.get(name):
        raise FilesDamaged(
            f"{name} differs from the file that was registered.", field=name, remedy="Fetch the version again."
        )
    return raw


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest. Raises FilesDamaged if it is missing or in a format that this code doesn't know."""
    return parse_manifest(read_file(folder, MANIFEST))


def parse_manifest(raw: bytes) -> Manifest:
    """The manifest in the bytes of `model.json`. Raises FilesDamaged if they hold none."""
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FilesDamaged(
            f"{MANIFEST} isn't in format 2: {error}.", field=MANIFEST, remedy="Train the harm again with this code."
        ) from error


def number_of(folder: Path) -> str | None:
    """The number that the registry gave the version; None for a folder that wasn't fetched from it."""
    try:
        return (folder / VERSION).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FilesDamaged(f"{VERSION} can't be read: {error}.", field=VERSION) from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its hash. Raises FilesDamaged naming the first file that differs."""
    for name in manifest.files:
        read_checked(folder, manifest, name)


def is_whole(folder: Path) -> bool:
    """Whether the folder exists and every file in it is the one that was registered."""
    try:
        check_files(folder, read_manifest(folder))
    except FilesDamaged:
        return False
    return True


def sha256(raw: bytes) -> str:
    """The SHA-256 hash in hex."""
    return hashlib.sha256(raw).hexdigest()
