"""API keys: `ls_<id>_<secret>`. The secret is shown once and stored as a hash. Keys have scopes and optional limits."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from leads import clock
from leads.clock import Clock, Micros
from leads.db.access.reviewer_names import check_reviewer
from leads.db.engine import reading
from leads.db.event_ids import check_sender
from leads.db.tables import api_keys
from leads.errors import AccessDenied, InvalidInput, NotAuthenticated, NotFound

Scope = Literal["score", "leads:read", "leads:decide", "act_as", "events:write", "monitoring:read", "monitoring:write",
                "metrics", "admin"]  # fmt: skip
SCOPES: tuple[Scope, ...] = get_args(Scope)
# How long servers trust the keys that they have read.
CACHE_S = 5.0
MAX_RATE = 1e6
# What `create` makes. Nothing else reaches the database: PostgreSQL fails on a NUL character.
_TEXT = re.compile(r"ls_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


class ApiKey(NamedTuple):
    """An API key and its permissions. `harms` None: all harms. `admin` includes the other scopes.

    Args:
        rate: requests per second; None: the default from the settings, 0: no limit.
        sender: whose event ids it uses; a key that replaces another has the same one. NULL in the table: its own id.
        reviewer: whom it acts as; None: whom each request names, with the scope `act_as`.
        expires_at: from when on it is refused; None: never.
        last_used_at: to about a minute.
        family: the first key in its chain of rotations; None: itself.
        replaced_by: the key that it was rotated to.
        on_admin: called with each scope that a request needs and the key has only through `admin`.
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
    expires_at: Micros | None = None
    last_used_at: Micros | None = None
    family: str | None = None
    replaced_by: str | None = None
    on_admin: Callable[[Scope], object] | None = None

    @property
    def caller(self) -> str:
        """Stands for the key and those that it was rotated from and to: the same caller uses them."""
        return self.family or self.id

    @property
    def only_metrics(self) -> bool:
        """Whether the key may read the metrics and nothing else."""
        return self.scopes == {"metrics"}

    def expired(self, now: Micros) -> bool:
        """Whether the key has ended."""
        return self.expires_at is not None and now >= self.expires_at

    def has(self, scope: Scope) -> bool:
        """Whether the key has the scope."""
        return scope in self.scopes or "admin" in self.scopes

    def allows(self, scope: Scope) -> bool:
        """Whether a request may do what needs this scope. If it may only because of `admin`, that is recorded."""
        if self.on_admin is not None and scope not in self.scopes and "admin" in self.scopes:
            self.on_admin(scope)
        return self.has(scope)

    def require(self, scope: Scope) -> None:
        """Raises AccessDenied when the key lacks the scope."""
        if not self.allows(scope):
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
        if named != self.reviewer and not self.allows("act_as"):
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
    expires_at: Micros | None = None,
    clock_: Clock = clock.now,
) -> CreatedKey:
    """Create a key.

    Args:
        sender: whose event ids the key uses: that of the key it replaces. Default: a new one.
        reviewer: whom it acts as. Default: `name` if it can decide leads but lacks `act_as`.
        expires_at: when it ends, as `leads.db.access.expiry` checks it. Default: never.

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
    if reviewer is not None:
        check_reviewer(reviewer)
    allowed = None if harms is None else frozenset(harms)
    wanted = ApiKey(
        "", name, frozenset(scopes), allowed, clock_(), None, rate, sender or "", reviewer, expires_at=expires_at
    )
    with engine.begin() as connection:
        return insert_key(connection, wanted)


def insert_key(connection: Connection, wanted: ApiKey) -> CreatedKey:
    """Store a key with a new id and secret, and without a `sender` with one of its own."""
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = wanted._replace(id=id_, sender=wanted.sender or id_)
    connection.execute(
        sa.insert(api_keys).values(
            id=id_,
            name=key.name,
            secret_hash=digest(secret),
            scopes=sorted(key.scopes),
            harms=sa.null() if key.harms is None else sorted(key.harms),
            created_at=key.created_at,
            rate=key.rate,
            sender=key.sender,
            reviewer=key.reviewer,
            expires_at=key.expires_at,
            family=key.family,
        )
    )
    return CreatedKey(key, f"ls_{id_}_{secret}")


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
        return [read_key(row) for row in connection.execute(query)]


class StoredKey(NamedTuple):
    """A key that isn't revoked, and the hash that its secret must have."""

    key: ApiKey
    secret_hash: bytes

    def verified(self, secret: str, now: Micros) -> ApiKey:
        """The key, if this is its secret; takes as long for a wrong one.

        Raises:
            NotAuthenticated: a wrong secret, or the key has expired. Only who has the secret learns that it expired.
        """
        if not hmac.compare_digest(digest(secret), self.secret_hash):
            raise invalid_key()
        if self.key.expired(now):
            raise _expired_key(self.key)
        return self.key


def invalid_key() -> NotAuthenticated:
    """The same error for every key that isn't known or was revoked, whatever is wrong with it."""
    return NotAuthenticated(
        "Invalid API key.", remedy="Create one with `leads keys create` and send it in the X-API-Key header."
    )


def _expired_key(key: ApiKey) -> NotAuthenticated:
    if key.replaced_by is None:
        what, remedy = "expired", f"To renew it, an operator runs: leads keys rotate {key.id}"
    else:
        what, remedy = "was replaced, and ended", f"Use the key {key.replaced_by} instead."
    return NotAuthenticated(f"This API key {what} at {clock.to_text(key.expires_at or 0)}.", remedy=remedy)


def parts_of(text: str) -> tuple[str, str]:
    """Id and secret. Raises NotAuthenticated when the text can't be a key."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise invalid_key()
    return found[1], found[2]


def read_valid(engine: Engine, id_: str | None = None) -> dict[str, StoredKey]:
    """The keys that aren't revoked, also expired ones, by id; with `id_`, only that one."""
    query = sa.select(api_keys).where(api_keys.c.revoked_at.is_(None))
    if id_ is not None:
        query = query.where(api_keys.c.id == id_)
    with reading(engine) as connection:
        return {row.id: StoredKey(read_key(row), row.secret_hash) for row in connection.execute(query)}


def digest(secret: str) -> bytes:
    """SHA-256 of a key's secret part, which is what the database holds."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def read_key(row: Row[Any]) -> ApiKey:
    """The key in a row of the table."""
    return ApiKey(
        row.id,
        row.name,
        frozenset(row.scopes),
        None if row.harms is None else frozenset(row.harms),
        row.created_at,
        row.revoked_at,
        row.rate,
        row.sender or row.id,
        row.reviewer,
        row.expires_at,
        row.last_used_at,
        row.family,
        row.replaced_by,
    )
