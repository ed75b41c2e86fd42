"""API keys: `ls_<id>_<secret>`. The secret is shown once and stored as a hash. Keys have scopes and optional limits."""

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
from leads.db.event_ids import check_sender
from leads.db.tables import api_keys
from leads.errors import AccessDenied, InvalidInput, NotAuthenticated, NotFound, Unavailable

T = TypeVar("T")
Scope = Literal["score", "leads:read", "leads:decide", "act_as", "events:write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
# How long a verified key is trusted without asking the database; and how long while the database is down.
CACHE_S = 5.0
OUTAGE_S = 60.0
OUTAGE_TTL_S = 1.0
MAX_RATE = 1e6
_MAX_CACHED = 10_000
_NOBODY = bytes(32)
_ID = re.compile(r"[0-9a-f]{12}")


class ApiKey(NamedTuple):
    """An API key and its permissions. `harms` None: all harms. `admin` includes the other scopes.

    `rate`: requests per second; None: the default from the settings, 0: no limit. `sender`: whose event ids it uses; a
    key that replaces another has the same one. `reviewer`: whom it acts as; None: whom each request names, with the
    scope `act_as`.
    """

    id: str
    name: str
    scopes: frozenset[str]
    harms: frozenset[str] | None
    created_at: Micros
    revoked_at: Micros | None
    rate: float | None = None
    sender: str = ""
    reviewer: str | None = None

    def has(self, scope: Scope) -> bool:
        """Whether the key has the scope."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises AccessDenied when the key lacks the scope."""
        if not self.has(scope):
            raise AccessDenied(f"This key doesn't have the scope {scope}.", remedy=f"Use a key with {scope}.")

    def require_harm(self, harm: str, *, field: str = "/harm") -> None:
        """Raises AccessDenied when the key is limited to other harms."""
        if self.harms is not None and harm not in self.harms:
            raise AccessDenied(
                f"This key can't access {harm}.",
                field=field,
                remedy=f"It is limited to: {', '.join(sorted(self.harms))}.",
            )

    def reviewer_named(self, named: str | None) -> str:
        """The reviewer that a request with this key acts as.

        Args:
            named: whom the request names; None: the key's own reviewer.

        Raises:
            InvalidInput: the request names nobody, and the key has no reviewer.
            AccessDenied: it names another reviewer than the key's, and the key lacks `act_as`.
        """
        if named is None:
            if self.reviewer is None:
                raise InvalidInput(
                    "This key has no reviewer of its own.", field="/reviewer", remedy="Name the reviewer."
                )
            return self.reviewer
        if named != self.reviewer and not self.has("act_as"):
            own = f"It acts as {self.reviewer}." if self.reviewer else "It acts as nobody."
            raise AccessDenied(
                "This key can't act as another reviewer.",
                field="/reviewer",
                remedy=f"{own} A review tool that acts for several reviewers needs a key with the scope act_as.",
            )
        return named


class CreatedKey(NamedTuple):
    """A new key. `text` is what its holder sends; it can't be retrieved later."""

    key: ApiKey
    text: str


def create(
    engine: Engine,
    name: str,
    scopes: Collection[str],
    *,
    harms: Collection[str] | None = None,
    rate: float | None = None,
    sender: str | None = None,
    reviewer: str | None = None,
    clock_: Clock = clock.now,
) -> CreatedKey:
    """Create a key.

    Args:
        sender: whose event ids the key uses: that of the key it replaces. Default: a new one.
        reviewer: whom it acts as. Default: `name` if it can decide leads but lacks `act_as`.

    Raises:
        InvalidInput: invalid name, sender or reviewer, no scopes or unknown ones, an empty list of harms, or an
            invalid rate.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        what = f"Unknown scope {unknown[0]!r}." if unknown else "A key needs at least one scope."
        raise InvalidInput(what, field="--scope", remedy=f"Scopes: {', '.join(SCOPES)}.")
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise InvalidInput("A key needs a printable name of at most 100 characters.", field="--name")
    if harms is not None and not harms:
        raise InvalidInput("The list of harms is empty.", field="--harm", remedy="Name harms, or omit the option.")
    if rate is not None and not (math.isfinite(rate) and 0 <= rate <= MAX_RATE):
        raise InvalidInput(
            f"Invalid rate {rate:g}.",
            field="--rate",
            remedy=f"Give requests per second, at most {MAX_RATE:,.0f}, or 0 for no limit.",
        )
    if sender is not None:
        check_sender(sender)
    if reviewer is None and "leads:decide" in scopes and not {"act_as", "admin"} & set(scopes):
        reviewer = name.strip()
    if reviewer is not None and (not reviewer.strip() or len(reviewer) > 256 or not reviewer.isprintable()):
        raise InvalidInput("A reviewer needs a printable name of at most 256 characters.", field="--reviewer")
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
                sender=sender or id_,
                reviewer=reviewer,
            )
        )
    allowed = None if limit is None else frozenset(limit)
    held = ApiKey(id_, name, frozenset(scopes), allowed, at, None, rate, sender or id_, reviewer)
    return CreatedKey(held, f"ls_{id_}_{secret}")


def revoke(engine: Engine, id_: str, *, clock_: Clock = clock.now) -> None:
    """Revoke a key; servers notice within five seconds. Revoking it again changes nothing.

    Raises:
        NotFound: no key has this id.
    """
    with engine.begin() as connection:
        revoked = sa.func.coalesce(api_keys.c.revoked_at, clock_())
        found = sa.update(api_keys).where(api_keys.c.id == id_).values(revoked_at=revoked).returning(api_keys.c.id)
        known = connection.execute(found).first()
    if known is None:
        raise NotFound("API key not found.", field="id", remedy="List the keys with: leads keys list")


def listing(engine: Engine) -> list[ApiKey]:
    """All keys including revoked ones, oldest first."""
    with reading(engine) as connection:
        query = sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return [_key(row) for row in connection.execute(query)]


def verify(engine: Engine, text: str) -> ApiKey:
    """The key that `text` belongs to.

    Raises:
        NotAuthenticated: malformed, unknown or revoked; the error doesn't say which.
    """
    prefix, _, rest = text.partition("_")
    id_, _, secret = rest.partition("_")
    # Nothing malformed reaches the database: PostgreSQL fails on a NUL character.
    if prefix != "ls" or not _ID.fullmatch(id_):
        raise invalid_key()
    with reading(engine) as connection:
        row = connection.execute(sa.select(api_keys).where(api_keys.c.id == id_)).first()
    # Unknown ids are compared too, so that the response time doesn't reveal which ids exist.
    matches = hmac.compare_digest(digest(secret), row.secret_hash if row else _NOBODY)
    if row is None or not matches or row.revoked_at is not None:
        raise invalid_key()
    return _key(row)


def invalid_key() -> NotAuthenticated:
    """The same error for every invalid key, whatever is wrong with it."""
    return NotAuthenticated(
        "Invalid API key.", remedy="Create one with `leads keys create` and send it in the X-API-Key header."
    )


class _Known(NamedTuple):
    key: ApiKey
    verified_at: float
    good_until: float


class KeyCache:
    """Caches for a few seconds, by digest, which texts are valid keys and which are not. Thread-safe.

    While the database is down, a key verified within the last minute is still accepted.
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

    def was_valid(self, digest_: bytes) -> bool:
        """Whether this was a valid key when it was last verified, however long ago."""
        return digest_ in self._known

    def refused(self, digest_: bytes) -> bool:
        """Whether this was an invalid key within the last seconds, so that the database need not be asked."""
        return self._refused.get(digest_, 0.0) > self._timer()

    def verify(self, text: str) -> ApiKey:
        """`verify`, asking the database at most once per `ttl_s`. Blocks.

        Raises:
            NotAuthenticated: as `verify`.
            Unavailable: the database is down, and the key wasn't verified within the last minute.
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
            # Cached briefly, so that not every request waits for the database to fail.
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
    """SHA-256: in memory, of the whole key; in the database, of its secret part."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _key(row: Row[Any]) -> ApiKey:
    harms = None if row.harms is None else frozenset(row.harms)
    return ApiKey(
        row.id,
        row.name,
        frozenset(row.scopes),
        harms,
        row.created_at,
        row.revoked_at,
        row.rate,
        row.sender or row.id,
        row.reviewer,
    )
