"""Gives libraries what they expect of a process: a user name, a home directory and a folder for temporary files.

Containers often run as a user that has no entry in /etc/passwd, with a read-only root file system. Then all three may
be missing, and MLflow, matplotlib and BentoML fail. Here they come to lie in the home of the platform.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from leads.files import private_folder

# What `getpass.getuser` looks at.
_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


# Where Python looks for a folder for temporary files: what these name, and then these.
_TEMPORARY, _USUAL = ("TMPDIR", "TEMP", "TMP"), ("/tmp", "/var/tmp", "/usr/tmp")
# What `lacks` found first, as sentences.
lacked: list[str] = []


def lacks() -> bool:
    """Whether this process lacks something; what it is is in `lacked` afterwards."""
    if os.environ.get("HOME") == "":
        # Python would take the root folder for the home directory, instead of the one in /etc/passwd.
        del os.environ["HOME"]
    lacked[:] = lacked or _missing()
    return bool(lacked)


def _missing() -> list[str]:
    found = []
    if _user_name() is None:
        found.append(f"The user {os.getuid()} has no name.")
    if (why := _home_problem()) is not None:
        found.append(why)
    if not _has_temporary_folder():
        found.append("No folder for temporary files can be written to.")
    return found


def replace_missing(root: Path) -> None:
    """Set `LOGNAME`, `HOME` and `TMPDIR` if the process lacks what they name. Child processes inherit them.

    Args:
        root: the folder for all state; `user/` and `tmp/` are created in it when they are needed.
    """
    if _user_name() is None:
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
    if _home_problem() is not None and _created(root / "user"):
        os.environ["HOME"] = str(root / "user")
    if not _has_temporary_folder() and _created(root / "tmp"):
        os.environ["TMPDIR"] = str(root / "tmp")
        # The module remembers the folder that it found first.
        tempfile.tempdir = None


def _user_name() -> str | None:
    given = next((os.environ[name] for name in _NAMES if os.environ.get(name)), None)
    return given or _entry()[0]


def _entry() -> tuple[str | None, str | None]:
    """Name and home directory of the user in /etc/passwd."""
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
    except (ImportError, KeyError):
        return None, None
    return entry.pw_name, entry.pw_dir


def _home_problem() -> str | None:
    name, directory = _entry()
    home = os.environ.get("HOME") or directory
    if not home:
        return "HOME isn't set."
    if not os.access(home, os.R_OK | os.X_OK):
        return f"HOME is {home}, which doesn't exist or can't be read."
    # A known user's settings and credentials stay where they are, even if libraries can't write next to them.
    if name is None and not os.access(home, os.W_OK):
        return f"HOME is {home}, which can't be written to."
    return None


def _has_temporary_folder() -> bool:
    """Whether Python finds a folder for temporary files, instead of falling back on the working directory."""
    try:
        found = tempfile.gettempdir()
    except FileNotFoundError:
        return False
    named = [os.path.abspath(path) for name in _TEMPORARY if (path := os.environ.get(name))]
    return Path(found) != Path.cwd() or found in (*named, *_USUAL)


def _created(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        private_folder(folder)
    return os.access(folder, os.W_OK)
