"""Idempotency-Key: a repeated request takes effect once, and every repetition gets the same response."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from starlette.requests import Request
from starlette.responses import Response

from leads import clock
from leads.clock import Micros
from leads.db.deadline import transaction
from leads.db.engine import insert_new
from leads.db.keys import ApiKey
from leads.db.tables import idempotency
from leads.errors import Conflict, InvalidInput
from serving.http.access.authentication import KEY
from serving.runtime import Runtime

_TTL: Micros = clock.DAY
_MAX_LENGTH = 255
_FIELD = "/Idempotency-Key"
_DELETED_PER_CALL = 10


class IdempotencyKey(NamedTuple):
    """The Idempotency-Key of a request: whose it is, the header's text, and a hash of path and body.

    `key_id` is the id of the first API key in a chain of rotations. So a retry with a rotated key counts as a retry.
    """

    key_id: str
    text: str
    request_hash: bytes

    def event_id(self, n: int) -> str:
        """The id of the request's n-th event; retries get the same id."""
        raw = f"{self.key_id}\0{self.text}\0{n}".encode("utf-8", "replace")
        return "e_" + hashlib.blake2b(raw, digest_size=12).hexdigest()


Work = Callable[[Connection, IdempotencyKey | None], msgspec.Struct]


def key_reused() -> Conflict:
    """The error for a key that was used for another request."""
    return Conflict("This Idempotency-Key was used for another request.", field=_FIELD, remedy="Send a new key.")


class StoredResponse(NamedTuple):
    """A response to store; `replayed` if an earlier request produced it."""

    status: int
    body: bytes
    replayed: bool = False


def read_key(key_id: str, header: str | None, path: str, body: bytes) -> IdempotencyKey | None:
    """Read the Idempotency-Key of a request; None if there is none.

    Raises:
        InvalidInput: the header is empty, too long or not printable.
    """
    if header is None:
        return None
    if not 0 < len(header) <= _MAX_LENGTH or not header.isprintable():
        raise InvalidInput(
            "Idempotency-Key must have 1 to 255 printable characters.",
            field=_FIELD,
            remedy="Send a UUID, for example.",
        )
    return IdempotencyKey(key_id, header, hashlib.sha256(path.encode() + b"\0" + body).digest())


def run_once(
    connection: Connection, key: IdempotencyKey | None, now: Micros, work: Callable[[], StoredResponse]
) -> StoredResponse:
    """Run `work` in the caller's transaction, or return the stored response if this key was already used.

    Raises:
        Conflict: the key was used for another request.
    """
    if key is None:
        return work()
    same_key = sa.and_(idempotency.c.key_id == key.key_id, idempotency.c.idempotency_key == key.text)
    # One that is older than a day counts no more. Others of that age go as well, so that none stays for long.
    connection.execute(sa.delete(idempotency).where(same_key, idempotency.c.at < now - _TTL))
    delete_expired(connection, now)
    row = {"key_id": key.key_id, "idempotency_key": key.text, "request_hash": key.request_hash}
    # Inserting the row first makes other requests with this key wait here until this transaction ends.
    if not insert_new(connection, idempotency, [{**row, "status": 0, "answer": b"", "at": now}]):
        stored = connection.execute(sa.select(idempotency).where(same_key)).one()
        if stored.request_hash != key.request_hash:
            raise key_reused()
        return StoredResponse(stored.status, stored.answer, replayed=True)
    response = work()
    connection.execute(sa.update(idempotency).where(same_key).values(status=response.status, answer=response.body))
    return response


async def answer_once(request: Request, runtime: Runtime, work: Work, *, status: int = 200) -> Response:
    """Run `work` in one transaction, once per Idempotency-Key, and answer with what it returns."""
    key: ApiKey = request.scope[KEY]
    header = request.headers.get("idempotency-key")
    idempotency_key = read_key(key.caller, header, request.url.path, await request.body())

    def write() -> StoredResponse:
        with transaction(runtime.engine) as connection:
            return run_once(
                connection,
                idempotency_key,
                runtime.clock(),
                lambda: StoredResponse(status, msgspec.json.encode(work(connection, idempotency_key))),
            )

    stored = await runtime.write(write)
    headers = {"Idempotency-Replayed": "true"} if stored.replayed else None
    return Response(stored.body, stored.status, headers, media_type="application/json")


def delete_expired(connection: Connection, now: Micros) -> None:
    """Delete a few of the responses that are older than a day; called with each new one, so none stays for long."""
    old = sa.select(idempotency.c.key_id, idempotency.c.idempotency_key).where(idempotency.c.at < now - _TTL)
    for row in connection.execute(old.limit(_DELETED_PER_CALL)).all():
        same_key = (idempotency.c.key_id == row.key_id, idempotency.c.idempotency_key == row.idempotency_key)
        connection.execute(sa.delete(idempotency).where(*same_key))
