"""Checks of this host: disk, permissions, file systems, the port, limits, the user, the clock."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from cli.checks.findings import ANSWER_S, Check, Finding
from leads import clock
from leads.db.engine import database_exists, database_url, reading, unchecked_engine
from leads.environment import process
from leads.environment.addresses import shown
from leads.errors import Unavailable
from leads.files import readable_by_others
from leads.settings import Settings

_GIB = 1 << 30
_LITTLE, _FULL = 2 * _GIB, _GIB // 5
# SQLite's write-ahead log needs memory that processes share, which these don't give to several hosts.
_NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "afs", "beegfs", "gpfs", "9p")
)
_FUSE = ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.blobfuse")
# Connections that an API process may have open without a valid key, and its own files.
_FILES = 1_024
_SKEW_S = 1.0


def host_checks(settings: Settings) -> list[Check]:
    """What `leads status` checks."""
    return [
        Check("disk", lambda: check_disk(settings)),
        Check("permissions", lambda: check_permissions(settings)),
        *([] if settings.clock is None else [Check("set_clock", check_set_clock)]),
    ]


def host_setup_checks(settings: Settings) -> list[Check]:
    """What only `leads doctor` checks."""
    return [
        Check("file_system", lambda: check_file_system(settings)),
        Check("temporary_files", check_temporary_files),
        Check("user", check_user),
        Check("open_files", check_open_files),
        Check("port", lambda: check_port(settings)),
        Check("clock", lambda: check_clock(settings)),
    ]


def check_disk(settings: Settings) -> Finding:
    place = _existing(settings.root)
    usage, files = shutil.disk_usage(place), os.statvfs(place)
    free = f"{usage.free / _GIB:,.1f} GB of {usage.total / _GIB:,.1f} GB free"
    why = "With a full disk, events are refused and predictions are lost."
    remedy = "Free space, or move LEADS_HOME to a larger disk."
    if files.f_files and files.f_favail < 1_000:
        return Finding("disk", "failed", f"{free}, but only {files.f_favail} more files fit.", why, remedy)
    state = "failed" if usage.free < _FULL else "warning" if usage.free < _LITTLE else "ok"
    if state == "ok":
        return Finding("disk", "ok", free)
    return Finding("disk", "failed" if state == "failed" else "warning", f"Only {free}.", why, remedy)


def check_permissions(settings: Settings) -> Finding:
    root, url = settings.root, database_url(settings)
    place = _existing(root)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        text = f"{place} isn't a folder that the user {os.getuid()} can write to."
        why = "Nothing can be stored."
        return Finding("permissions", "failed", text, why, f"chown -R {os.getuid()} {place}, or set LEADS_HOME.")
    foreign = next(_unwritable(root), None)
    if foreign is not None:
        text = f"{foreign} belongs to another user, so the user {os.getuid()} can't write to it."
        why = "Processes of this home fail when they write there. All of them must run as the same user."
        return Finding("permissions", "failed", text, why, f"chown -R {os.getuid()} {root}")
    others = [root]
    if url.get_backend_name() == "sqlite" and url.database and root not in Path(url.database).parents:
        others.append(Path(url.database))
    for place in others:
        open_to_all = readable_by_others(place)
        if open_to_all is not None:
            text = f"Other users of this host can read {open_to_all}."
            why = "It may contain texts, reasons or hashes of keys."
            return Finding("permissions", "warning", text, why, f"chmod -R go= {shlex.quote(str(place))}")
    return Finding("permissions", "ok", f"{root} can be written to, and only this user can read it")


def check_file_system(settings: Settings) -> Finding:
    on_sqlite = [
        what
        for what, chosen in (
            ("the database", settings.database.startswith("sqlite")),
            ("the online store", settings.online_store == "sqlite"),
            ("the workers' state", settings.state_store == "sqlite"),
        )
        if chosen
    ]
    kind = _file_system(_existing(settings.root))
    if on_sqlite and (kind in _NETWORK or kind.startswith(_FUSE)):
        text = f"{settings.root} is on a network file system ({kind}), and {', '.join(on_sqlite)} use SQLite."
        why = "SQLite's write-ahead log doesn't work there: data can be lost or damaged."
        remedy = "Use a local disk, or PostgreSQL and Redis (LEADS_STATE_STORE, LEADS_ONLINE_STORE)."
        return Finding("file_system", "warning", text, why, remedy)
    return Finding("file_system", "ok", kind or "unknown")


def check_temporary_files() -> Finding:
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        text = "No folder for temporary files can be written to, LEADS_HOME included."
        why = "Training and the API need temporary files."
        return Finding("temporary_files", "failed", text, why, "Set TMPDIR to a folder that can be written to.")
    wanted = os.environ.get("TMPDIR")
    if wanted and Path(wanted).absolute() != Path(folder):
        text = f"TMPDIR is {wanted}, which can't be written to; {folder} is used instead."
        return Finding("temporary_files", "warning", text, "Other software may fail.", "Correct or unset TMPDIR.")
    return Finding("temporary_files", "ok", folder)


def check_user() -> Finding:
    name = f"user {os.getuid()}, HOME {os.environ.get('HOME', 'not set')}"
    if process.lacked:
        why = "Libraries fail without them. Commands use folders in LEADS_HOME instead if they can."
        return Finding(
            "user", "warning", f"{name}. {' '.join(process.lacked)}", why, "Set HOME and TMPDIR for this user."
        )
    return Finding("user", "ok", name)


def check_open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        text = f"A process may open {soft:,} files."
        why = "The API refuses connections when it can't open more."
        limit = "ulimit -n 4096, or LimitNOFILE=4096 in the systemd unit."
        return Finding("open_files", "warning", text, why, limit if hard >= _FILES else f"As root: {limit}")
    return Finding("open_files", "ok", f"{soft:,}" if soft != resource.RLIM_INFINITY else "no limit")


def check_port(settings: Settings) -> Finding:
    from cli.checks.processes import check_api

    address = shown(settings.host, settings.port)
    problem = _cannot_listen(settings.host, settings.port)
    if problem is None:
        return Finding("port", "ok", f"{address} is free")
    if check_api(settings).state in ("ok", "warning"):
        return Finding("port", "ok", f"{address} is used by the API")
    used = _process_on(settings.port)
    text = f"Can't listen on {address}: {problem}." + (f" The port is used by {used}." if used else "")
    remedy = "Stop the process that uses it, or set LEADS_HOST and LEADS_PORT."
    return Finding("port", "failed", text, "The API can't start.", remedy)


def check_set_clock() -> Finding:
    """What LEADS_CLOCK does, where it is set."""
    own = clock.set_clock()
    runs = f"runs {own.speed:,g} times as fast as this host's" if own is not None and own.speed else "stands still"
    shows = clock.to_text(clock.now() // clock.SECOND * clock.SECOND)
    text = f"{clock.SETTING} sets the clock: it shows {shows} and {runs}."
    why = "Nothing that is written has its real time."
    return Finding("set_clock", "warning", text, why, f"Unset {clock.SETTING}.")


def check_clock(settings: Settings) -> Finding:
    if database_url(settings).get_backend_name() == "sqlite" or not database_exists(settings):
        return Finding("clock", "ok", "The database uses this host's clock")
    engine = unchecked_engine(settings, timeout_s=ANSWER_S)
    try:
        with reading(engine) as connection:
            before = time.time()
            there = float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
            after = time.time()
    except Unavailable:
        return Finding("clock", "warning", "It can't be compared, because the database doesn't answer.")
    finally:
        engine.dispose()
    ahead = max(before - there, there - after, 0.0)
    if ahead > _SKEW_S:
        text = f"This host's clock and the database server's differ by {ahead:.1f} s."
        why = "Events get the time of the host that takes them, and hosts would disagree about their order."
        return Finding("clock", "warning", text, why, "Run a time service such as chrony on both.")
    return Finding("clock", "ok", f"Within {_SKEW_S:g} s of the database server's")


def _existing(path: Path) -> Path:
    """The path, or the nearest of its parents that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _unwritable(root: Path) -> Iterator[Path]:
    """Files and folders of the first two levels that this user can't write to."""
    for pattern in ("*", "*/*"):
        try:
            yield from (path for path in sorted(root.glob(pattern)) if not os.access(path, os.W_OK))
        except OSError:
            return


def _file_system(path: Path) -> str:
    """The type of the file system that holds the path, as Linux names it; empty elsewhere."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    for line in lines:
        mount, _, kind = line.partition(" - ")
        point = Path(mount.split()[4].replace("\\040", " "))
        if (path == point or point in path.parents) and len(str(point)) >= longest:
            found, longest = kind.split()[0], len(str(point))
    return found


def _cannot_listen(host: str, port: int) -> str | None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _process_on(port: int) -> str:
    """The process that listens on a port, if the system says so: its command and id."""
    inodes = set()
    for table in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")):
        for fields in (line.split() for line in (table.read_text().splitlines() if table.exists() else ())):
            # 0A is the state of a socket that listens.
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                process_id = link.parts[2]
                command = Path("/proc", process_id, "comm").read_text().strip()
                return f"{command} (process {process_id})"
        except OSError:
            continue
    return ""
