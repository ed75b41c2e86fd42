"""A request sent twice with one Idempotency-Key is done once, and both get the same answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.tables import idempotency
from leads.errors import Conflict, InvalidInput

KEPT: Micros = clock.DAY
_MAX_LENGTH = 255


class IdempotencyKey(NamedTuple):
    """A caller's key for one request: whose, which, and what it was sent with."""

    key_id: str
    text: str
    request_hash: bytes

    def event_id(self, n: int) -> str:
        """The id of the n-th event of this request, the same each time it is sent."""
        raw = f"{self.key_id}\0{self.text}\0{n}".encode("utf-8", "replace")
        return "e_" + hashlib.blake2b(raw, digest_size=12).hexdigest()


class StoredResponse(NamedTuple):
    """What was answered; `replayed` when it was done before."""

    status: int
    body: bytes
    replayed: bool = False


def read_key(key_id: str, header: str | None, path: str, body: bytes) -> IdempotencyKey | None:
    """The Idempotency-Key of a request.

    Raises:
        InvalidInput: it is empty, too long or not printable.
    """
    if header is None:
        return None
    if not 0 < len(header) <= _MAX_LENGTH or not header.isprintable():
        raise InvalidInput("Idempotency-Key needs 1 to 255 printable characters.", remedy="A UUID will do.")
    return IdempotencyKey(key_id, header, hashlib.sha256(path.encode() + b"\0" + body).digest())


def run_once(
    connection: Connection, key: IdempotencyKey | None, now: Micros, work: Callable[[], StoredResponse]
) -> StoredResponse:
    """Do `work` in the caller's transaction, unless this key's request was done before.

    Raises:
        Conflict: the key was used for another request.
    """
    if key is None:
        return work()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # The row is taken first: another request with this key waits here until this transaction ends.
    row = {"key_id": key.key_id, "idempotency_key": key.text, "request_hash": key.request_hash}
    taken = insert(idempotency).values(**row, status=0, answer=b"", at=now).on_conflict_do_nothing()
    mine = sa.and_(idempotency.c.key_id == key.key_id, idempotency.c.idempotency_key == key.text)
    if not connection.execute(taken).rowcount:
        done = connection.execute(sa.select(idempotency).where(mine)).one()
        if done.request_hash != key.request_hash:
            raise Conflict("This Idempotency-Key was used for another request.", remedy="Send a new one.")
        return StoredResponse(done.status, done.answer, replayed=True)
    answer = work()
    connection.execute(sa.update(idempotency).where(mine).values(status=answer.status, answer=answer.body))
    return answer


def delete_expired(connection: Connection, now: Micros) -> None:
    """Drop answers older than a day."""
    connection.execute(sa.delete(idempotency).where(idempotency.c.at < now - KEPT))
