"""The database that commands work on: open it, migrate it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Engine

from cli.ui.terminal import console, escape, next_steps, note, progress
from leads.db.content.filling import complete, missing
from leads.db.engine import Migrated, migrate, open_engine, reading
from leads.settings import Settings


@contextmanager
def opened(settings: Settings, *, create: bool = True) -> Iterator[Engine]:
    """An engine that is disposed of afterwards; arguments and errors as `open_engine`."""
    engine = open_engine(settings, create=create)
    try:
        yield engine
    finally:
        engine.dispose()


def migrate_database(settings: Settings, *, quiet: bool) -> None:
    """Create the database or update its schema, and print what was done; with `quiet` only if something was done.

    Raises:
        Unavailable: the database doesn't answer.
    """
    with console.status("migrating the database"):
        done = migrate(settings)
    _complete(settings)
    if quiet and done.before == done.after:
        return
    note(escape(_what_was_done(done)))
    if not quiet:
        next_steps(
            ("leads status", "see what exists and what is missing"),
            ("leads serve", "run the API, the follower and the worker"),
            settings=settings,
        )


def _complete(settings: Settings) -> None:
    """Fill in the table that a new release added. Stopped at any point, it goes on there the next time."""
    with opened(settings) as engine:
        with reading(engine) as connection:
            total = missing(connection)
        if total:
            with progress("events read for the order of item versions") as tell:
                complete(engine, on_progress=lambda done: tell(done, total))


def _what_was_done(done: Migrated) -> str:
    if done.before is None:
        return f"Created the database at schema revision {done.after}."
    if done.before == done.after:
        return f"The database is up to date, at schema revision {done.after}."
    return f"Migrated the database from revision {done.before} to {done.after}."
