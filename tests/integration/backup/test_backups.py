"""What a backup is: complete or absent, private, verified, and never restored over anything."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import Result
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.backup import manifest, writing
from leads.backup.manifest import Manifest
from leads.backup.reading import open_backup
from leads.backup.restore import UNFINISHED, restore
from leads.backup.take import take
from leads.db import cursors, event_log, keys
from leads.db.engine import open_engine
from leads.errors import ConfigurationError, Conflict, InvalidInput, LeadsError, NotFound, Unavailable
from leads.events import Event, ItemCreated, SubjectRef
from leads.files import keeping_out, only_one
from leads.retention.removal import LOCK_FILE
from leads.settings import Settings, load_settings
from serving.retention.prune import prune
from tests.support.backups import fill_tables, listing

FORMS = ("backup", "backup.tar", "backup.tar.gz", "backup.tar.zst")
FILES = {
    "labels/spam/mine.parquet": b"labels",
    "predictions/harm=spam/day=2026-01-01/api-host-1-1-00000001.parquet": b"x" * 70_000,
    "mlartifacts/r1/artifacts/model/MLmodel": b"flavors",
    "tuned/spam.yaml": b"depth: 3\n",
}
LEFT_OUT = ("features/online.db", "published/state.json", "logs/api.log", "worker-0of1.lock", "labels/.mine.1.tmp")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home that has something of everything, and with its backup; both to copy."""
    folder = tmp_path_factory.mktemp("original")
    made = load_settings(home=folder / "home", corpora="none", database_url=None)
    engine = open_engine(made)
    fill_tables(engine)
    engine.dispose()
    for name in (*FILES, *LEFT_OUT):
        path = made.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES.get(name, b"left out"))
    with sqlite3.connect(made.root / "mlflow.db") as db:
        db.execute("CREATE TABLE runs (id)")
    take(made, folder / "backup")
    return folder


@pytest.fixture
def home(original: Path, settings: Settings) -> Settings:
    """A home with something of everything."""
    shutil.copytree(original / "home", settings.root)
    return settings


@pytest.fixture
def taken(original: Path, tmp_path: Path) -> Path:
    """The backup of such a home."""
    return Path(shutil.copytree(original / "backup", tmp_path / "backup"))


def target(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "restored", corpora="none")


@pytest.mark.parametrize("form", FORMS)
def test_a_backup_is_private_complete_and_restored(home: Settings, tmp_path: Path, form: str) -> None:
    made = take(home, tmp_path / form)
    names = {file.name for file in made.files}
    assert {f"home/{name}" for name in FILES} <= names
    assert {"mlflow/mlflow.db", "configuration/policies.yaml", "configuration/platform.yaml"} <= names
    assert not any(name.removeprefix("home/") in LEFT_OUT for name in names)
    for path in (tmp_path / form, *(tmp_path / form).rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([form, "home"])

    backup = open_backup(tmp_path / form)
    assert backup.manifest == made
    restored = restore(target(tmp_path), backup, where=form)
    root = target(tmp_path).root
    assert {name: (root / name).read_bytes() for name in FILES} == FILES
    assert not any((root / name).exists() for name in (*LEFT_OUT, UNFINISHED))
    assert sqlite3.connect(root / "mlflow.db").execute("SELECT * FROM runs").fetchall() == []
    for path in (root, *root.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    # The settings name the same files.
    assert restored.variables == {}


def test_no_key_is_in_a_backup(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    key = keys.create(engine, "x", ["score"]).text
    take(settings, tmp_path / "backup")
    secret = key.rpartition("_")[2].encode()
    assert not any(secret in path.read_bytes() for path in (tmp_path / "backup").rglob("*") if path.is_file())


def flip(path: Path, at: int = 200) -> None:
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= 1
    path.write_bytes(raw)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda path: flip(path / "database/events/000001.parquet"), "events/000001.parquet has other contents"),
    "missing": (lambda path: (path / "home/tuned/spam.yaml").unlink(), "spam.yaml is missing"),
    "shorter": (lambda path: (path / "mlflow/mlflow.db").write_bytes(b"SQLite"), "mlflow.db has 6 bytes instead"),
    "manifest": (lambda path: (path / "manifest.json").write_bytes(b'{"kind": "lead-serving backup", '), "manifest"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "isn't a complete backup"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused(taken: Path, damage: str) -> None:
    harm, says = DAMAGES[damage]
    harm(taken)
    with pytest.raises(InvalidInput, match=says):
        open_backup(taken)


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_damaged_archive_is_refused(home: Settings, tmp_path: Path, form: str) -> None:
    take(home, tmp_path / form)
    whole = (tmp_path / form).read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - len(whole) // 10):
        (tmp_path / form).write_bytes(whole[:size])
        with pytest.raises(InvalidInput, match=r"damaged|complete backup"):
            open_backup(tmp_path / form)
    # More bytes than lie between two files of an archive, where they would mean nothing.
    places = [slice(at, at + 600) for at in (len(whole) // 3, len(whole) // 2)]
    if form.endswith(".gz"):
        # In the checksum of what is compressed.
        places.append(slice(-6, -5))
    for place in places:
        raw = bytearray(whole)
        raw[place] = bytes(byte ^ 255 for byte in whole[place])
        (tmp_path / form).write_bytes(raw)
        with pytest.raises(InvalidInput, match="damaged"):
            open_backup(tmp_path / form)


def rewrite(path: Path, **changes: object) -> None:
    made = msgspec.json.decode((path / manifest.NAME).read_bytes(), type=Manifest)
    (path / manifest.NAME).write_bytes(msgspec.json.encode(msgspec.structs.replace(made, **changes)))


def test_other_backups_are_refused(home: Settings, taken: Path, tmp_path: Path) -> None:
    rewrite(taken, format=manifest.FORMAT + 1, release="9.0")
    with pytest.raises(ConfigurationError, match=r"newer release 9\.0"):
        open_backup(taken)
    rewrite(taken, kind="something else")
    with pytest.raises(InvalidInput, match="not a backup of Lead Serving"):
        open_backup(taken)
    with pytest.raises(InvalidInput, match="isn't a complete backup"):
        open_backup(home.root)
    with pytest.raises(InvalidInput, match="not a backup of Lead Serving"):
        open_backup(home.root / "mlflow.db")
    with pytest.raises(NotFound):
        open_backup(tmp_path / "nothing")
    with tarfile.open(tmp_path / "other.tar", "w") as other:
        other.add(home.root / "tuned", "tuned")
    with pytest.raises(InvalidInput, match="isn't a complete backup"):
        open_backup(tmp_path / "other.tar")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "home/../../x", "home/published/x", "database"])
def test_no_file_outside_of_a_home_is_named(taken: Path, name: str) -> None:
    rewrite(taken, files=[manifest.BackedUpFile(name, 0, "")])
    with pytest.raises(InvalidInput, match="no backup contains"):
        open_backup(taken)


def test_a_newer_schema_is_not_restored(taken: Path, tmp_path: Path) -> None:
    made = open_backup(taken).manifest
    assert made.database is not None
    rewrite(taken, database=msgspec.structs.replace(made.database, revision="9000"), release="9.0")
    with pytest.raises(ConfigurationError, match=r"newer release 9\.0"):
        restore(target(tmp_path), open_backup(taken), where="backup")
    assert not target(tmp_path).root.exists()


def test_nothing_is_overwritten(home: Settings, tmp_path: Path) -> None:
    take(home, tmp_path / "backup")
    before = listing(home.root)
    with pytest.raises(Conflict, match="something under this name"):
        take(home, tmp_path / "backup")
    with pytest.raises(Conflict, match="isn't empty"):
        restore(home, open_backup(tmp_path / "backup"), where="backup")
    assert listing(home.root) == before
    # The database may lie elsewhere.
    elsewhere = load_settings(home=tmp_path / "restored", corpora="none", database_url=home.database)
    with pytest.raises(Conflict, match="a database already"):
        restore(elsewhere, open_backup(tmp_path / "backup"), where="backup")
    assert listing(home.root) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_backup_that_fails_leaves_nothing(
    home: Settings, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(writing, "copy_private", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        take(home, tmp_path / form)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_backup_that_was_killed_is_not_taken_for_one(home: Settings, tmp_path: Path) -> None:
    take(home, tmp_path / "backup")
    (tmp_path / "backup").rename(tmp_path / "backup.unfinished")
    (tmp_path / "backup.unfinished" / manifest.NAME).unlink()
    with pytest.raises(Conflict, match="was interrupted"):
        take(home, tmp_path / "backup")
    with pytest.raises(InvalidInput, match="isn't a complete backup"):
        open_backup(tmp_path / "backup.unfinished")
    take(home, tmp_path / "another")


def test_a_restore_that_failed_says_so(taken: Path, tmp_path: Path) -> None:
    backup = open_backup(taken)
    shutil.rmtree(taken / "home" / "tuned")
    with pytest.raises(Unavailable, match="No such file"):
        restore(target(tmp_path), backup, where="backup")
    assert not (target(tmp_path).root / "leads.db").exists()
    with pytest.raises(Conflict, match="did not finish"):
        restore(target(tmp_path), backup, where="backup")


def test_a_full_disk_is_noticed_first(taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leads.backup.restore._MARGIN", 1e9)
    with pytest.raises(Unavailable, match="are free"):
        restore(target(tmp_path), open_backup(taken), where="backup")
    assert not target(tmp_path).root.exists()


def test_names_that_are_not_utf8_are_refused(home: Settings, tmp_path: Path) -> None:
    odd = os.fsdecode(bytes(home.root / "labels") + b"/\xff.parquet")
    Path(odd).write_bytes(b"")
    with pytest.raises(ConfigurationError, match="not UTF-8") as error:
        take(home, tmp_path / "backup")
    assert "\\xff.parquet" in str(error.value)
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        take(home, Path(os.fsdecode(bytes(tmp_path) + b"/\xfe")))


def test_only_the_files_of_a_further_host(home: Settings, tmp_path: Path) -> None:
    (home.root / "leads.db").unlink()
    made = take(home, tmp_path / "backup", with_database=False)
    assert made.database is None
    restore(target(tmp_path), open_backup(tmp_path / "backup"), where="backup")
    assert (target(tmp_path).root / "tuned" / "spam.yaml").exists()
    assert not (target(tmp_path).root / "leads.db").exists()
    with pytest.raises(NotFound, match="no database"):
        take(home, tmp_path / "another")


def test_links_are_followed_but_not_in_circles(home: Settings, tmp_path: Path) -> None:
    (tmp_path / "disk" / "spam").mkdir(parents=True)
    (tmp_path / "disk" / "spam" / "more.parquet").write_bytes(b"more")
    (home.root / "labels" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "circle").symlink_to(home.root / "labels")
    names = [file.name for file in take(home, tmp_path / "backup").files if file.name.startswith("home/labels/")]
    assert names == ["home/labels/linked/spam/more.parquet", "home/labels/spam/mine.parquet"]


def test_files_that_are_merged_meanwhile_are_copied(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment is replaced by a merged one after the folder was listed."""
    real, day = writing.copy_private, home.predictions_dir / "harm=spam" / "day=2026-01-01"

    def merging(source: Path, copied: Path) -> None:
        if source.name.startswith("api-") and source.exists():
            source.rename(day / "merged-host-1-1-00000001.parquet")
        real(source, copied)

    monkeypatch.setattr(writing, "copy_private", merging)
    made = take(home, tmp_path / "backup")
    assert [file.name for file in made.files if "predictions" in file.name] == [
        "home/predictions/harm=spam/day=2026-01-01/merged-host-1-1-00000001.parquet"
    ]
    open_backup(tmp_path / "backup")


def test_nothing_is_pruned_while_a_backup_is_written(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's database, which is copied first, names artifacts."""
    real, refused = writing.copy_private, []

    def pruned(source: Path, copied: Path) -> None:
        try:
            prune(home)
        except Conflict as error:
            refused.append(str(error))
        real(source, copied)

    monkeypatch.setattr(writing, "copy_private", pruned)
    made = take(home, tmp_path / "backup")
    assert len(refused) >= len(FILES)
    assert "deleting old data, or writing a backup" in refused[0]
    assert {f"home/{name}" for name in FILES} <= {file.name for file in made.files}
    assert "predictions" in {one.kind for one in prune(home)}


def test_a_backup_waits_until_old_data_are_deleted_but_not_for_another_backup(home: Settings, tmp_path: Path) -> None:
    said = threading.Event()

    def tell(step: str, done: int, total: int) -> None:
        if step == "waiting until old data are deleted":
            said.set()

    backup = threading.Thread(target=take, args=(home, tmp_path / "backup"), kwargs={"on_progress": tell})
    with only_one(home.root / LOCK_FILE, what="deleting old data"):
        backup.start()
        assert said.wait(60)
        assert not (tmp_path / "backup").exists()
    backup.join(60)
    open_backup(tmp_path / "backup")
    with keeping_out(home.root / LOCK_FILE):
        take(home, tmp_path / "another")


def said(*words: str) -> str:
    result: Result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, LeadsError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return " ".join(result.output.split())


def test_the_commands(settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.begin() as connection:
        body = ItemCreated(SubjectRef("comment", "c1"), text="a song")
        event_log.append(connection, "test", [Event("e1", clock.now() - clock.HOUR, body)])
        cursors.move(connection, cursors.scored_name(0, 1), 1)
    policies = tmp_path / "own policies.yaml"
    policies.write_text(settings.policies.read_text() + "\n# Ours.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    monkeypatch.setenv("LEADS_POLICIES", str(policies))
    assert "Wrote the backup leads-backup-" in said("backup")
    (made,) = tmp_path.glob("leads-backup-*")
    assert "complete and undamaged" in said("restore", "--check", str(made))
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "new home"))
    monkeypatch.delenv("LEADS_POLICIES")
    text = said("restore", str(made))
    assert f"export LEADS_POLICIES='{tmp_path}/new home/configuration/policies.yaml'" in text
    assert "leads worker --once" in text
    assert "LEADS_TRAINING" not in text
    # What was scored before isn't scored again while the rows are derived.
    restored = open_engine(load_settings())
    with restored.connect() as connection:
        assert cursors.rebuilding(connection, 1)
        assert cursors.scored(connection, 1) == 1
    restored.dispose()
    flip(made / "database" / "events" / "000001.parquet")
    with pytest.raises(InvalidInput, match="damaged"):
        said("restore", "--check", str(made))
