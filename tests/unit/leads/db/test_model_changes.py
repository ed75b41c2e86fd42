"""The history of model versions, on both databases."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.db import model_changes
from leads.db.engine import reading
from leads.db.model_changes import ModelChange, champions

PROMOTED = ModelChange(5, "spam", "1", "promoted", "me", "better", alias="champion", gate='{"checks":[]}')


def test_changes_are_read_in_order(any_engine: Engine) -> None:
    other = PROMOTED._replace(version="2", replaced="1", gate=None, overridden=True)
    with any_engine.begin() as connection:
        seqs = [model_changes.record(connection, change) for change in (PROMOTED, other)]
        model_changes.record(connection, PROMOTED._replace(harm="sexism"))
        model_changes.close(connection, seqs[0], "done")
    with reading(any_engine) as connection:
        found = model_changes.history(connection, "spam")
    assert found == [PROMOTED._replace(seq=seqs[0], state="done"), other._replace(seq=seqs[1])]


def test_a_failed_transaction_records_nothing(any_engine: Engine) -> None:
    with any_engine.connect() as connection:
        model_changes.record(connection, PROMOTED)
        connection.rollback()
    with reading(any_engine) as connection:
        assert model_changes.history(connection, "spam") == []
        assert connection.execute(sa.text("SELECT count(*) FROM model_changes")).scalar_one() == 0


def test_pending_and_dropped_changes_are_ignored() -> None:
    done = [PROMOTED._replace(version=number, state="done") for number in ("1", "2")]
    dropped = PROMOTED._replace(version="3", state="dropped")
    assert champions([*done, dropped, dropped._replace(state="pending")], "2") == ["1", "2"]


def test_a_version_doesnt_precede_itself_after_a_retirement() -> None:
    done = [PROMOTED._replace(version=number, state="done") for number in ("1", "2", "1")]
    retired = ModelChange(6, "spam", "2", "retired", "me", "bad", state="done")
    assert champions([*done, retired], "1") == ["1"]
