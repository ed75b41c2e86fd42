"""What the Dockerfile puts into an image, built in a folder: only the packages that its lock names, and our wheels."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import REPOSITORY
from tests.support.wheels import build_wheels

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


# Arguments: an empty folder, the image, the volume, user and group, and the command. The whole root is read-only except
# the volume and an empty /tmp.
_CONFINED = """
set -e
ro=$1 image=$2 volume=$3 user=$4
shift 4
mount --make-rprivate /
mount --bind / "$ro"
mount -o remount,bind,ro "$ro"
mount -t tmpfs -o mode=1777 tmpfs "$ro/tmp"
mkdir -p "$ro$image" "$ro$volume"
mount --bind "$image" "$ro$image"
mount -o remount,bind,ro "$ro$image"
mount --bind "$volume" "$ro$volume"
mount -t proc proc "$ro/proc"
mount --bind /dev "$ro/dev"
exec /usr/sbin/chroot --userspec="$user" "$ro" env -C "$volume" "$@"
"""


def can_confine() -> bool:
    """Whether this user may mount file systems in a name space of their own: root, outside of most containers."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def confined(mountpoint: Path, image: Path, volume: Path, uid: int, command: Sequence[str]) -> list[str]:
    """The command, as another user on a read-only root. `mountpoint` is an empty folder; all three are below /tmp."""
    paths = [str(mountpoint), str(image), str(volume)]
    return ["unshare", "--mount", "bash", "-c", _CONFINED, "confined", *paths, f"{uid}:{uid}", *command]


def environment_of(dockerfile: Path) -> dict[str, str]:
    """What its ENV instructions set for the running image."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile.read_text())
    runtime = joined.partition(" AS runtime\n")[2]
    (line,) = re.findall(r"^ENV (.*)$", runtime, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in line.split())


def build_image(root: Path, lock: str) -> None:
    """Build `opt/leads` below `root`, which only the user who runs the tests can write.

    The packages are taken from the environment of the tests, because installing them again would take minutes.
    """
    venv = root / "opt" / "leads"
    subprocess.run([_interpreter(), "-m", "venv", "--without-pip", str(venv)], check=True, timeout=120)
    (packages,) = venv.glob("lib/python*/site-packages")
    for name in _PIN.findall((REPOSITORY / "deploy" / "locks" / lock).read_text()):
        _take(name, packages)
    wheels = build_wheels(root / "build")
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet"]
    command = [*pip, "--disable-pip-version-check", "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run(command, check=True, timeout=120)
    shutil.rmtree(root / "build")
    shutil.copy(REPOSITORY / "deploy" / "healthcheck.py", root / "opt" / "healthcheck.py")


def _interpreter() -> str:
    """The host's Python, if it has the same version: other users may not enter the folder of the tests' own."""
    return shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin:/bin") or sys.executable


def _take(name: str, packages: Path) -> None:
    """Put an installed distribution's files into another environment, without copying where that is possible.

    Linked files are the originals: nothing may change them.
    """
    distribution = importlib.metadata.distribution(name)
    for file in distribution.files or ():
        source, target = Path(str(distribution.locate_file(file))), packages / str(file)
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            continue
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
