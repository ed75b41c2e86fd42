"""When keys were used, as several processes record it, and the audit trail of the scope admin."""

from __future__ import annotations

import threading

from sqlalchemy.engine import Engine

from leads.db import keys
from leads.db.access.uses import AdminUse, note_used, read_admin, record_admin


def used(engine: Engine) -> dict[str, int | None]:
    return {key.name: key.last_used_at for key in keys.listing(engine)}


def test_the_latest_use_counts_whichever_process_records_it_last(any_engine: Engine) -> None:
    ids = {name: keys.create(any_engine, name, ["score"]).key.id for name in "ab"}
    assert used(any_engine) == {"a": None, "b": None}
    for at in (50, 70, 60):
        with any_engine.begin() as connection:
            note_used(connection, {ids["a"]: at, "0" * 12: at})
    assert used(any_engine) == {"a": 70, "b": None}


def test_processes_that_record_at_once_keep_the_latest_use(any_engine: Engine) -> None:
    ids = [keys.create(any_engine, str(i), ["score"]).key.id for i in range(5)]

    def record(first: int) -> None:
        for at in range(first, first + 5):
            with any_engine.begin() as connection:
                # In any order: two transactions must not wait for each other.
                note_used(connection, dict.fromkeys(ids if first % 2 else ids[::-1], at))

    threads = [threading.Thread(target=record, args=(first,)) for first in (1, 3, 10, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(used(any_engine).values()) == {104}


def test_uses_of_admin_are_read_newest_first(any_engine: Engine) -> None:
    uses = [
        AdminUse(i, f"key{i % 2}", "x", "POST", "/v1/leads/{lead_id}/decision", ("leads:decide",), 200 + i, f"r{i}")
        for i in range(4)
    ]
    with any_engine.begin() as connection:
        record_admin(connection, [])
        record_admin(connection, uses[:3])
        record_admin(connection, uses[3:])
    assert read_admin(any_engine) == uses[::-1]
    assert read_admin(any_engine, key_ids=["key1"]) == [uses[3], uses[1]]
    assert read_admin(any_engine, limit=1) == [uses[3]]
