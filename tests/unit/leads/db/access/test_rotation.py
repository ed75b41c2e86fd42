"""Rotating keys: the new key stands for the same caller, and every mistake has an error that says what to do."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db import keys
from leads.db.access.rotation import Rotated, check_name_free, ids_of, rotate
from leads.db.keys import ApiKey
from leads.db.tables import api_keys
from leads.errors import Conflict, InvalidInput, LeadsError, NotFound

DAY = clock.DAY


@dataclass
class Keys:
    """Keys of a database at a time that the test sets."""

    engine: Engine
    now: Micros = 100 * DAY

    def create(self, name: str, *, expires_at: Micros | None = None, **options: object) -> keys.CreatedKey:
        return keys.create(
            self.engine,
            name,
            ["score"],
            expires_at=expires_at,
            clock_=lambda: self.now,
            **options,  # type: ignore[arg-type]
        )

    def rotate(self, name: str, *, overlap: Micros = DAY, expires_at: Micros | None = None) -> Rotated:
        return rotate(self.engine, name, overlap=overlap, expires_at=expires_at, clock_=lambda: self.now)

    def stored(self, id_: str) -> ApiKey:
        return next(key for key in keys.listing(self.engine) if key.id == id_)


@pytest.fixture
def held(any_engine: Engine) -> Keys:
    return Keys(any_engine)


def test_the_new_key_stands_for_the_same_caller(held: Keys) -> None:
    old = held.create("tool", harms=["spam"], rate=7.5, sender="partner", reviewer="ann").key
    held.now += 10 * DAY
    new, ending = held.rotate("tool")
    assert new.key == held.stored(new.key.id)
    assert ending == held.stored(old.id)
    assert new.key._replace(id=old.id, created_at=old.created_at, family=None) == old
    assert (new.key.id, new.key.created_at) != (old.id, old.created_at)
    assert new.key.caller == old.caller == old.id
    assert (ending.replaced_by, ending.expires_at) == (new.key.id, held.now + DAY)
    # Also after the next rotation.
    third, _ = held.rotate(new.key.id)
    assert (third.key.caller, third.key.sender) == (old.id, "partner")


def test_a_key_without_a_stored_sender_keeps_its_own(held: Keys) -> None:
    """An older release stores none."""
    old = held.create("x").key
    with held.engine.begin() as connection:
        connection.execute(sa.update(api_keys).values(sender=None))
    assert held.rotate(old.id).new.key.sender == old.id


def test_the_new_key_lasts_as_long_as_the_old_one_did(held: Keys) -> None:
    held.create("x", expires_at=held.now + 90 * DAY)
    held.now += 80 * DAY
    new, _ = held.rotate("x")
    assert new.key.expires_at == held.now + 90 * DAY
    assert held.rotate(new.key.id, expires_at=held.now + 5 * DAY).new.key.expires_at == held.now + 5 * DAY
    held.create("y")
    assert held.rotate("y").new.key.expires_at is None


def test_the_overlap_does_not_prolong_the_old_key(held: Keys) -> None:
    held.create("x", expires_at=held.now + 2 * DAY)
    assert held.rotate("x", overlap=10 * DAY).old.expires_at == held.now + 2 * DAY
    # An expired key is renewed, and stays expired itself.
    gone = held.create("y", expires_at=held.now + DAY).key
    held.now += 5 * DAY
    assert held.rotate("y").old.expires_at == gone.expires_at
    assert held.rotate("y", overlap=0).old.expires_at == held.now


@pytest.mark.parametrize("overlap", [-1, 91 * DAY])
def test_an_overlap_is_between_zero_and_ninety_days(held: Keys, overlap: Micros) -> None:
    held.create("x")
    with pytest.raises(InvalidInput, match="0 and 90 days") as refused:
        held.rotate("x", overlap=overlap)
    assert refused.value.field == "--overlap"
    assert len(keys.listing(held.engine)) == 1


def test_a_key_is_found_by_its_name_or_id(held: Keys) -> None:
    one, other = held.create("x").key, held.create("x").key
    with pytest.raises(NotFound, match=r"No key has the name or id 'y'\. List the keys with: leads keys list"):
        held.rotate("y")
    with pytest.raises(NotFound):
        held.rotate("a\0b")
    with pytest.raises(Conflict, match=r"2 keys have the name 'x'") as several:
        held.rotate("x")
    assert {one.id, other.id} <= set(str(several.value).replace(".", "").replace(",", "").split())
    new, _ = held.rotate(one.id)
    keys.revoke(held.engine, other.id)
    # Revoked and replaced keys have the name no longer.
    held.now += 2 * DAY
    assert held.rotate("x").old.id == new.key.id
    assert {one.id, other.id, new.key.id} < set(ids_of(held.engine, "x"))


def test_a_revoked_or_replaced_key_is_not_rotated(held: Keys) -> None:
    gone = held.create("x", sender="partner").key
    keys.revoke(held.engine, gone.id, clock_=lambda: 0)
    for name in ("x", gone.id):
        with pytest.raises(Conflict, match=rf"Key {gone.id} was revoked at 1970-01-01T00:00:00Z\..*--sender partner"):
            held.rotate(name)
    old = held.create("y").key
    new, _ = held.rotate("y")
    with pytest.raises(Conflict, match=rf"Key {old.id} was rotated before; {new.key.id} replaced it") as rotated:
        held.rotate(old.id)
    assert rotated.value.remedy == f"Run: leads keys rotate {new.key.id}"
    # The overlap may have ended.
    held.now += 3 * DAY
    with pytest.raises(Conflict, match="was rotated before"):
        held.rotate(old.id)


def test_of_two_rotations_at_once_one_fails(held: Keys) -> None:
    held.create("x")
    begin, results = threading.Barrier(2), list[Rotated | LeadsError]()

    def run() -> None:
        begin.wait(30)
        try:
            results.append(held.rotate("x"))
        except LeadsError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in results) == ["Conflict", "Rotated"]
    (made,) = (one for one in results if isinstance(one, Rotated))
    assert {key.id: key.replaced_by for key in keys.listing(held.engine)} == {
        made.old.id: made.new.key.id,
        made.new.key.id: None,
    }


def test_a_key_is_not_rotated_again_by_its_name_during_the_overlap(held: Keys) -> None:
    old = held.create("x").key
    new, _ = held.rotate("x")
    with pytest.raises(Conflict, match=rf"Key {new.key.id} is replacing key {old.id} until") as running:
        held.rotate("x")
    assert running.value.remedy == f"To replace the new key, too, run: leads keys rotate {new.key.id}"
    held.rotate(new.key.id, overlap=0)
    keys.revoke(held.engine, old.id)
    held.rotate("x")


def test_a_key_that_changes_meanwhile_is_not_rotated(held: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    from leads.db.access import rotation

    made = held.create("x").key
    found = made._replace(replaced_by=None)
    with held.engine.begin() as connection:
        connection.execute(sa.update(api_keys).values(replaced_by="0" * 12))
    monkeypatch.setattr(rotation, "_find", lambda connection, name, now: found)
    with pytest.raises(Conflict, match=f"Key {made.id} was rotated or revoked at the same time"):
        held.rotate("x")
    assert len(keys.listing(held.engine)) == 1


def test_a_name_is_free_once_its_key_ended(held: Keys) -> None:
    def check() -> None:
        check_name_free(held.engine, "x", clock_=lambda: held.now)

    check()
    made = held.create("x", expires_at=held.now + DAY).key
    with pytest.raises(Conflict, match=rf"There is already a key with the name 'x': {made.id}") as taken:
        check()
    assert f"leads keys rotate {made.id}" in str(taken.value)
    new, _ = held.rotate("x")
    with pytest.raises(Conflict, match=new.key.id):
        check()
    keys.revoke(held.engine, new.key.id)
    check()
    held.create("x", expires_at=held.now + DAY)
    held.now += DAY
    check()


def test_both_keys_can_be_revoked(held: Keys) -> None:
    old = held.create("x")
    new, _ = held.rotate("x")
    for id_ in (old.key.id, new.key.id):
        keys.revoke(held.engine, id_)
    assert keys.read_valid(held.engine) == {}
