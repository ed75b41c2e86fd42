"""API keys: `ls_<id>_<secret>`, shown once and stored as a hash, with scopes and optionally limited to harms."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from leads import clock
from leads.clock import Clock, Micros
from leads.db.engine import reading
from leads.db.tables import api_keys
from leads.errors import AccessDenied, InvalidInput, NotAuthenticated, NotFound, Unavailable

T = TypeVar("T")
Scope = Literal["score", "leads:read", "leads:decide", "events:write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
# How long a revoked key may still be taken for good; and how long while the database doesn't answer.
CACHE_S = 5.0
OUTAGE_S = 60.0
OUTAGE_TTL_S = 1.0
MAX_RATE = 1e6
_MAX_CACHED = 10_000
_NOBODY = bytes(32)
_ID = re.compile(r"[0-9a-f]{12}")


class ApiKey(NamedTuple):
    """Who asks, and what they may. `harms` None: every harm. `admin` includes the other scopes.

    `rate`: requests per second; None: as the settings say, 0: without limit.
    """

    id: str
    name: str
    scopes: frozenset[str]
    harms: frozenset[str] | None
    created_at: Micros
    revoked_at: Micros | None
    rate: float | None = None

    def require(self, scope: Scope) -> None:
        """Raises AccessDenied when the key lacks the scope."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise AccessDenied(f"This key lacks the scope {scope}.", remedy=f"Use a key with {scope}.")

    def require_harm(self, harm: str, *, field: str = "/harm") -> None:
        """Raises AccessDenied when the key is limited to other harms."""
        if self.harms is not None and harm not in self.harms:
            raise AccessDenied(
                f"This key is not for {harm}.", field=field, remedy=f"It is for: {', '.join(sorted(self.harms))}."
            )


class CreatedKey(NamedTuple):
    """A new key; `text` is what its holder sends, and can't be had again."""

    key: ApiKey
    text: str


def create(
    engine: Engine,
    name: str,
    scopes: Collection[str],
    *,
    harms: Collection[str] | None = None,
    rate: float | None = None,
    clock_: Clock = clock.now,
) -> CreatedKey:
    """Make a key.

    Raises:
        InvalidInput: an empty name, no scope or an unknown one, an empty limit to harms, a rate that is none.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        what = f"There is no scope {unknown[0]!r}." if unknown else "A key needs at least one scope."
        raise InvalidInput(what, field="--scope", remedy=f"Scopes: {', '.join(SCOPES)}.")
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise InvalidInput("A key needs a printable name of at most 100 characters.", field="--name")
    if harms is not None and not harms:
        raise InvalidInput("A limit to no harm at all.", field="--harm", remedy="Name harms, or leave the limit out.")
    if rate is not None and not (math.isfinite(rate) and 0 <= rate <= MAX_RATE):
        raise InvalidInput("This is no rate.", field="--rate", remedy="Requests per second, or 0 for no limit.")
    id_, secret, at = secrets.token_hex(6), secrets.token_urlsafe(32), clock_()
    limit = None if harms is None else sorted(set(harms))
    with engine.begin() as connection:
        connection.execute(
            sa.insert(api_keys).values(
                id=id_,
                name=name,
                secret_hash=digest(secret),
                scopes=sorted(set(scopes)),
                harms=sa.null() if limit is None else limit,
                created_at=at,
                rate=rate,
            )
        )
    held = ApiKey(id_, name, frozenset(scopes), None if limit is None else frozenset(limit), at, None, rate)
    return CreatedKey(held, f"ls_{id_}_{secret}")


def revoke(engine: Engine, id_: str, *, clock_: Clock = clock.now) -> None:
    """End a key; servers notice within five seconds. Revoking twice changes nothing.

    Raises:
        NotFound: there is no such key.
    """
    with engine.begin() as connection:
        revoked = sa.func.coalesce(api_keys.c.revoked_at, clock_())
        done = connection.execute(sa.update(api_keys).where(api_keys.c.id == id_).values(revoked_at=revoked))
    if not done.rowcount:
        raise NotFound("There is no such key.", field="id", remedy="List them: leads keys list")


def listing(engine: Engine) -> list[ApiKey]:
    """All keys, oldest first, revoked ones too."""
    with reading(engine) as connection:
        query = sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return [_key(row) for row in connection.execute(query)]


def verify(engine: Engine, text: str) -> ApiKey:
    """The key that `text` is.

    Raises:
        NotAuthenticated: not a key, unknown or revoked; which of these is not told.
    """
    prefix, _, rest = text.partition("_")
    id_, _, secret = rest.partition("_")
    # Whatever is sent goes no further than this: a NUL would make PostgreSQL fail.
    if prefix != "ls" or not _ID.fullmatch(id_):
        raise not_valid()
    with reading(engine) as connection:
        row = connection.execute(sa.select(api_keys).where(api_keys.c.id == id_)).first()
    # The comparison is made for unknown ids too: the time it takes must not tell which ids exist.
    matches = hmac.compare_digest(digest(secret), row.secret_hash if row else _NOBODY)
    if row is None or not matches or row.revoked_at is not None:
        raise not_valid()
    return _key(row)


def not_valid() -> NotAuthenticated:
    """What every text that is no valid key is answered, whatever is wrong with it."""
    return NotAuthenticated(
        "This API key is not valid.", remedy="Make one with `leads keys create`, send it as X-API-Key."
    )


class _Known(NamedTuple):
    key: ApiKey
    verified_at: float
    good_until: float


class KeyCache:
    """Remembers for a few seconds which texts are keys and which are not, by digest. Thread-safe.

    A key is still taken for good for a minute while the database doesn't answer.
    """

    def __init__(self, engine: Engine, *, ttl_s: float = CACHE_S, timer: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._ttl_s = ttl_s
        self._timer = timer
        self._known: dict[bytes, _Known] = {}
        self._refused: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def recall(self, digest_: bytes) -> ApiKey | None:
        """The key if it was verified within the last seconds; doesn't block."""
        known = self._known.get(digest_)
        return known.key if known and known.good_until > self._timer() else None

    def met(self, digest_: bytes) -> bool:
        """Whether this was a valid key when last verified, however long ago."""
        return digest_ in self._known

    def refused(self, digest_: bytes) -> bool:
        """Whether this was no valid key within the last seconds: the database need not be asked again."""
        return self._refused.get(digest_, 0.0) > self._timer()

    def verify(self, text: str) -> ApiKey:
        """Like `verify`; asks the database at most once in the time to live. Blocks.

        Raises:
            NotAuthenticated: as `verify`.
            Unavailable: the database doesn't answer, and the key wasn't verified within the last minute.
        """
        digest_, now = digest(text), self._timer()
        key = self.recall(digest_)
        if key is not None:
            return key
        try:
            key = verify(self._engine, text)
        except NotAuthenticated:
            self._known.pop(digest_, None)
            self._keep(self._refused, digest_, now + self._ttl_s)
            raise
        except Unavailable:
            known = self._known.get(digest_)
            if known is None or now >= known.verified_at + OUTAGE_S:
                raise
            # Not every request shall wait for the database to fail.
            self._keep(self._known, digest_, known._replace(good_until=now + OUTAGE_TTL_S))
            return known.key
        self._keep(self._known, digest_, _Known(key, now, now + self._ttl_s))
        return key

    def _keep(self, kept: dict[bytes, T], digest_: bytes, value: T) -> None:
        with self._lock:
            if len(kept) >= _MAX_CACHED:
                kept.clear()
            kept[digest_] = value


def digest(text: str) -> bytes:
    """What is kept of a key: SHA-256 of the whole text in memory, of its secret in the database."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _key(row: Row[Any]) -> ApiKey:
    harms = None if row.harms is None else frozenset(row.harms)
    return ApiKey(row.id, row.name, frozenset(row.scopes), harms, row.created_at, row.revoked_at, row.rate)
