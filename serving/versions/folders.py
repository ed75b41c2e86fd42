"""The folders that the follower publishes: fetched and verified once, then checked again for as long as they are used.

A published folder can be damaged later: by a disk, a restore, a hand. Every step compares the size and times of its
files with those at the last check, and every few minutes their hashes. A damaged version is fetched again beside the
old folder, verified there, and takes its place by a rename. So no process ever sees half a version, and a fetch that
fails leaves everything as it was.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from leads.errors import FilesDamaged, ModelRefused, Unavailable
from leads.files import private_folder, sync_folder
from models import manifest
from models.registry.versions import VersionReader
from models.text.encoder_files import is_whole
from serving.versions import damage
from serving.versions.proofs import FileMark, check_manifest, marks, read_proof, write_proof
from serving.versions.published_state import TRYING_FILE, trying
from serving.versions.verification import Live, Load, check_contract, reason_of, verify

Key = tuple[str, str]
# Seconds after which a refused version is tried again: a disk or the network may have failed the first time.
RETRY_REFUSED_S = 60.0
# The same for a damaged one, which a process may need. It doubles with each failure, unless MLflow is down.
RETRY_DAMAGED_S = 5.0
# Seconds between two checks of a published version's hashes, which read its files.
FULL_CHECK_S = 300.0
_KEPT_VERSIONS = 3
_FETCHING = ".fetching"
_log = logging.getLogger(__name__)


class _Checked(NamedTuple):
    """When a folder's hashes were checked, and the marks of its files then.

    Args:
        encoder: the folder of the fine-tuned encoder that the version needs; None if it needs none.
        encoder_files: the marks of that folder's files.
    """

    at: float
    files: Mapping[str, FileMark]
    encoder: Path | None = None
    encoder_files: Mapping[str, FileMark] = {}


class _Tried(NamedTuple):
    """A damaged version that couldn't be fetched: when to try again, after how many seconds, and what is wrong."""

    next_at: float
    wait_s: float
    why: str


class VersionFolders:
    """Not thread-safe; one process per host.

    Args:
        folder: of all published versions.
        load: makes a version from a folder.
        live: reads the live features.
        timer: monotonic seconds.
    """

    def __init__(
        self, folder: Path, registry: VersionReader, load: Load, live: Live, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._load = load
        self._live = live
        self._timer = timer
        self._checked: dict[Key, _Checked] = {}
        self._tried: dict[Key, _Tried] = {}
        # When versions that aren't damaged, but can't be verified either, may be looked at again.
        self._not_before: dict[Key, float] = {}
        # Hashes are checked of one version at a time, so that no step takes long.
        self._may_hash = False
        self._cleaned_at = 0.0
        self._clean_up()

    def crashed(self) -> Key | None:
        """The version that crashed the previous follower, which isn't verified again for now; None if none did."""
        try:
            harm, version = trying(self._folder).split()
        except ValueError:
            return None
        self._not_before[harm, version] = self._timer() + RETRY_REFUSED_S
        return harm, version

    def in_place(self, harm: str, version: str) -> bool:
        """Whether the version's folder is there and verified, and its files haven't changed since."""
        seen = self._checked.get((harm, version))
        return seen is not None and marks(self._path(harm, version)) == seen.files

    def ensure(self, harm: str, version: str) -> None:
        """Have a verified version in its folder. If what is there fails verification, fetch it again.

        Raises:
            LeadsError, OSError: it can't be fetched, or fails verification. The folder is left as it was.
        """
        if self._path(harm, version).is_dir():
            try:
                return self._verify(harm, version)
            except ModelRefused as error:
                _log.warning("fetching %s version %s again: %s", harm, version, error)
        self._fetch(harm, version)

    def look_after(self, published: Iterable[Key]) -> dict[Key, str]:
        """Check these versions, and fetch those that are damaged. Returns what is wrong with those that still are."""
        self._may_hash = True
        if self._timer() - self._cleaned_at >= FULL_CHECK_S:
            self._clean_up()
        return {key: why for key in published if (why := self._damage(*key)) is not None}

    def delete_old(self, harm: str, needed: tuple[str, ...]) -> None:
        """Delete old version folders. The newest few stay, for processes still loading them and for inspection."""
        folders = [x for x in (self._folder / harm).glob("*") if x.is_dir() and x.name.isdecimal()]
        for folder in sorted(folders, key=lambda x: int(x.name), reverse=True)[_KEPT_VERSIONS:]:
            if folder.name not in needed:
                _remove(folder)
                damage.withdraw(folder)
                self._checked.pop((harm, folder.name), None)

    def _path(self, harm: str, version: str) -> Path:
        return self._folder / harm / version

    def _damage(self, harm: str, version: str) -> str | None:
        """What is wrong with a published version that can't be fetched again now; None if it is whole."""
        key = (harm, version)
        if self._timer() < self._not_before.get(key, 0.0):
            return None
        self._not_before.pop(key, None)
        try:
            self._check(harm, version)
        except FilesDamaged as error:
            self._checked.pop(key, None)
            return self._heal(harm, version, error.message)
        except Exception as error:
            # Its files are whole as far as they can be read, so fetching them again would change nothing.
            _log.warning("%s version %s can't be verified now: %s", harm, version, reason_of(error))
            self._not_before[key] = self._timer() + RETRY_REFUSED_S
        self._tried.pop(key, None)
        return None

    def _check(self, harm: str, version: str) -> None:
        """Raises FilesDamaged if the folder isn't what was verified, ModelRefused if it can't be verified at all."""
        folder, seen = self._path(harm, version), self._checked.get((harm, version))
        report = damage.reported(folder)
        if seen is not None and seen.encoder is not None:
            # The encoder may be in memory, so that verifying the version again would read no file of it.
            now = marks(seen.encoder)
            if now != seen.encoder_files or not now:
                if not is_whole(seen.encoder, seen.encoder.name):
                    raise FilesDamaged(f"Files of the encoder {seen.encoder.name} are missing or damaged.")
                seen = self._checked[harm, version] = seen._replace(encoder_files=now)
        if seen is None:
            self._verify(harm, version)
        elif report is not None or marks(folder) != seen.files:
            self._check_hashes(harm, version)
        elif self._may_hash and self._timer() - seen.at >= FULL_CHECK_S:
            self._may_hash = False
            self._check_hashes(harm, version)
        if report is not None:
            _log.warning("%s version %s was reported as damaged, but is whole: %s", harm, version, report)
            damage.withdraw(folder)

    def _check_hashes(self, harm: str, version: str) -> None:
        """Raises FilesDamaged if a file differs from the one that was verified."""
        folder = self._path(harm, version)
        files, proof = marks(folder), read_proof(folder)
        if proof is None or not proof.holds(harm, version):
            return self._verify(harm, version)
        check_manifest(folder, proof)
        manifest.check_files(folder, manifest.read_manifest(folder))
        if manifest.number_of(folder) != version:
            raise FilesDamaged(f"{manifest.VERSION} isn't the one that was published.", field=manifest.VERSION)
        seen = self._checked.get((harm, version), _Checked(0.0, files))
        self._checked[harm, version] = seen._replace(at=self._timer(), files=files)

    def _heal(self, harm: str, version: str, damaged: str) -> str | None:
        """Fetch a damaged version again. Returns None once it is whole, and otherwise what is wrong."""
        key = (harm, version)
        last = self._tried.get(key)
        if last is not None and self._timer() < last.next_at:
            return last.why
        if last is None:
            _log.warning("published %s version %s is damaged, fetching it again: %s", harm, version, damaged)
        try:
            self._fetch(harm, version)
        except Exception as error:
            why = f"{damaged} Fetching it again failed: {reason_of(error)}"
            if last is None or last.why != why:
                _log.warning("%s version %s stays damaged: %s", harm, version, why)
            wait_s = RETRY_DAMAGED_S
            if last is not None and not isinstance(error, Unavailable):
                wait_s = min(2 * last.wait_s, RETRY_REFUSED_S)
            self._tried[key] = _Tried(self._timer() + wait_s, wait_s, why)
            return why
        _log.warning("%s version %s was fetched again and is whole", harm, version)
        self._tried.pop(key, None)
        return None

    def _verify(self, harm: str, version: str, folder: Path | None = None) -> None:
        """Verify a version fully and write its proof.

        Args:
            folder: where it is; default: where it is published.
        """
        folder = folder or self._path(harm, version)
        with self._trying(harm, version):
            known = read_proof(folder)
            if known is not None and (known.harm, known.version) == (harm, version):
                # The hashes in `model.json` don't cover itself.
                check_manifest(folder, known)
            loaded, proof = verify(self._load, folder, harm, version)
            check_contract(loaded, self._live)
        write_proof(folder, proof)
        encoder = loaded.text_stage.encoder_folder if loaded.text_stage is not None else None
        of_encoder = marks(encoder) if encoder is not None else {}
        self._checked[harm, version] = _Checked(self._timer(), proof.files, encoder, of_encoder)

    @contextmanager
    def _trying(self, harm: str, version: str) -> Iterator[None]:
        """Record what is being verified: if that crashes this process, the next one begins with the others."""
        private_folder(self._folder)
        file = self._folder / TRYING_FILE
        with suppress(OSError):
            file.write_text(f"{harm} {version}", encoding="utf-8")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

    def _fetch(self, harm: str, version: str) -> None:
        folder, draft = self._path(harm, version), self._folder / harm / _FETCHING
        _remove(draft)
        try:
            fetched = self._registry.fetch(harm, version, draft)
            if fetched != draft / version:
                raise ModelRefused(
                    f"The registry returned version {fetched.name} instead.", field=f"{harm} version {version}"
                )
            self._verify(harm, version, fetched)
            _put_in_place(fetched, folder)
        except BaseException:
            self._checked.pop((harm, version), None)
            raise
        finally:
            _remove(draft)
        damage.withdraw(folder)

    def _clean_up(self) -> None:
        """Remove what a follower left that was killed, and put a folder back that it had just moved aside."""
        self._cleaned_at = self._timer()
        for draft in self._folder.glob(f"*/{_FETCHING}"):
            _remove(draft)
        for aside in self._folder.glob("*/.*.aside"):
            folder = aside.with_name(aside.name.removeprefix(".").removesuffix(".aside"))
            if folder.exists():
                _remove(aside)
                continue
            with suppress(OSError):
                aside.rename(folder)


def _put_in_place(new: Path, folder: Path) -> None:
    """Rename a folder to where it is published; what was there before is removed."""
    aside = folder.with_name(f".{folder.name}.aside")
    _remove(aside)
    with suppress(FileNotFoundError):
        folder.rename(aside)
    try:
        new.rename(folder)
    except OSError:
        with suppress(OSError):
            aside.rename(folder)
        raise
    sync_folder(folder.parent)
    _remove(aside)


def _remove(folder: Path) -> None:
    """Delete a folder if there is one, also if its permissions were taken away."""
    with suppress(OSError):
        folder.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.unlink(missing_ok=True)
