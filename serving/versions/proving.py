"""Gets the proofs of published versions; versions without one are verified in a child process.

    python -m serving.versions.proving

reads a `Task` from its standard input and writes a line per version, each an `Outcome`, to its standard output.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import msgspec

from leads.errors import FilesDamaged, ModelRefused
from leads.files import in_turn
from leads.processes import QUIET, die_with_parent, python
from models import manifest
from models.text.sentence import Place
from models.version import load
from serving.versions.proofs import Proof, read_proof, write_proof
from serving.versions.verification import verify

Key = tuple[str, str]
# So that the processes of a host, which start together, don't all verify the same versions.
LOCK_FILE = ".proving.lock"
_LONGEST_S = 300.0
# A child takes the processor only when nothing that answers requests needs it.
_NICENESS = 10


class Task(msgspec.Struct, frozen=True):
    """The versions that a child verifies, and where they are.

    Args:
        weights, vectors, tuned: the sentence encoders' folders; see `models.text.sentence.Place`.
    """

    published: str
    versions: tuple[Key, ...]
    weights: str | None
    vectors: str | None
    tuned: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What a child found out about a version: its proof, or why there is none."""

    harm: str
    version: str
    proof: Proof | None = None
    why: str = ""
    damaged: bool = False


class Prover:
    """Gets proofs from the folders, and has a child process make those that are missing. Not thread-safe.

    Args:
        published: the folder of the published versions.
        place: where the sentence encoder is.
    """

    def __init__(self, published: Path, place: Place) -> None:
        self._published = published
        self._place = place
        # Proofs that a child made. It may not be able to write them into the folders.
        self._made: dict[Key, Proof] = {}

    def proofs(self, versions: Sequence[Key]) -> Mapping[Key, Proof | ModelRefused]:
        """The proof of each version, or why there is none."""
        found: dict[Key, Proof | ModelRefused] = {}
        for key in versions:
            proof = self._known(key) or self._damage(key)
            if proof is not None:
                found[key] = proof
        missing = [key for key in versions if key not in found]
        if missing:
            with ExitStack() as turn:
                # A folder that can't be written to has no lock: then each process verifies for itself.
                with suppress(OSError):
                    turn.enter_context(in_turn(self._published / LOCK_FILE))
                # Another process may have made some of them while this one waited.
                known = {key: proof for key in missing if (proof := self._known(key)) is not None}
                found |= known
                found |= self._verified([key for key in missing if key not in known])
        return found

    def _known(self, key: Key) -> Proof | None:
        for proof in (read_proof(self._published.joinpath(*key)), self._made.get(key)):
            if proof is not None and proof.holds(*key):
                return proof
        return None

    def _damage(self, key: Key) -> ModelRefused | None:
        """What is wrong with the version's files, so that no child is started for it."""
        folder = self._published.joinpath(*key)
        try:
            manifest.check_files(folder, manifest.read_manifest(folder))
        except FilesDamaged as error:
            return error
        return None

    def _verified(self, versions: list[Key]) -> dict[Key, Proof | ModelRefused]:
        found: dict[Key, Proof | ModelRefused] = {}
        while left := [key for key in versions if key not in found]:
            lines, ended = self._child(left)
            for line in lines:
                # Libraries write to the standard output too.
                with suppress(msgspec.MsgspecError):
                    one = msgspec.json.decode(line, type=Outcome)
                    found[one.harm, one.version] = one.proof or (FilesDamaged if one.damaged else ModelRefused)(one.why)
            if left[0] not in found:
                # It ended while it verified this one. The next child goes on with those behind it.
                why = f"The process that verified it {ended}."
                found[left[0]] = ModelRefused(why, field=f"{left[0][0]} version {left[0][1]}")
        self._made |= {key: proof for key, proof in found.items() if isinstance(proof, Proof)}
        return found

    def _child(self, versions: Sequence[Key]) -> tuple[list[bytes], str]:
        """The lines that a child wrote about these versions, and how it ended."""
        places = (None if path is None else str(path) for path in self._place)
        task = msgspec.json.encode(Task(str(self._published), tuple(versions), *places))
        try:
            # Without a function to call before it starts: Python would have to copy this process for that.
            done = subprocess.run(
                python("serving.versions.proving"),
                input=task,
                stdout=subprocess.PIPE,
                env={**os.environ, **QUIET},
                timeout=_LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return (error.stdout or b"").splitlines(), f"took more than {_LONGEST_S:.0f} s"
        except OSError as error:
            return [], f"can't be started: {error.strerror}"
        return done.stdout.splitlines(), f"ended with code {done.returncode}"


def main() -> None:
    """Verify the versions of the task in the standard input."""
    die_with_parent()
    os.nice(_NICENESS)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    place = Place(*(None if path is None else Path(path) for path in (task.weights, task.vectors, task.tuned)))
    for harm, version in task.versions:
        outcome = _outcome(Path(task.published) / harm / version, harm, version, place)
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


def _outcome(folder: Path, harm: str, version: str, place: Place) -> Outcome:
    try:
        _, proof = verify(partial(load, place=place), folder, harm, version)
    except ModelRefused as error:
        return Outcome(harm, version, why=str(error), damaged=isinstance(error, FilesDamaged))
    write_proof(folder, proof)
    return Outcome(harm, version, proof)


if __name__ == "__main__":
    main()
