"""API keys: create, list, rotate, revoke, and the requests that needed the scope admin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cli.ui.database import opened
from cli.ui.terminal import age, console, escape, minute, next_steps, note, print_json, table
from leads import clock
from leads.clock import Micros
from leads.db import keys
from leads.db.access.expiry import SOON, expiry_of
from leads.db.access.rotation import check_name_free, ids_of, rotate
from leads.db.access.uses import read_admin
from leads.db.keys import ApiKey, CreatedKey
from leads.environment.addresses import url_of
from leads.errors import NotFound
from leads.policies import Policies
from leads.settings import Settings

_COLUMNS = ("id", "name", "scopes", "harms", "reviewer", "req/s", "age", "last used", "ends", "state")
_AUDIT_COLUMNS = ("time (UTC)", "key", "name", "request", "needed", "status", "request id")
_DEFAULT_SCOPES = ("score", "leads:read", "leads:decide", "events:write")


def create_key(
    settings: Settings,
    policies: Policies,
    name: str,
    *,
    scopes: Sequence[str] | None,
    harms: Sequence[str] | None,
    rate: float | None = None,
    sender: str | None = None,
    reviewer: str | None = None,
    expires_in: Micros | None = None,
    expires_at: Micros | None = None,
    json: bool = False,
) -> None:
    """Create a key and print it, with `json` as one object for programs.

    Raises:
        NotFound: an unknown harm.
        Conflict: a working key has this name.
        InvalidInput: as `keys.create` and `expiry_of`.
    """
    for harm in harms or ():
        policies.harm(harm, field="--harm")
    chosen = tuple(scopes or _DEFAULT_SCOPES)
    end = expiry_of(clock.now(), expires_in=expires_in, expires_at=expires_at)
    with opened(settings) as engine:
        check_name_free(engine, name)
        created = keys.create(
            engine, name, chosen, harms=harms or None, rate=rate, sender=sender, reviewer=reviewer, expires_at=end
        )
    if json:
        _print_key(created)
        return
    note(f"Created key {created.key.id} for {escape(name)}, with scopes {', '.join(chosen)}.")
    if created.key.reviewer:
        note(f"It acts as the reviewer {escape(created.key.reviewer)}.")
    note(f"Its events have the sender {created.key.sender}.")
    _show_secret(created)
    address = url_of(settings.host, settings.port)
    path, what = (
        ("metrics", "read the metrics") if created.key.only_metrics else ("v1/leads", "request the ranked leads")
    )
    next_steps(
        ("leads serve", "start the service"),
        (f"curl -H 'x-api-key: {created.text[:6]}…' {address}/{path}", what),
        (f"leads keys revoke {created.key.id}", "revoke this key"),
        settings=settings,
    )


def rotate_key(
    settings: Settings,
    name: str,
    *,
    overlap: Micros,
    expires_in: Micros | None = None,
    expires_at: Micros | None = None,
    json: bool = False,
) -> None:
    """Replace a key by a new one and print it, with `json` as one object for programs.

    Raises:
        NotFound, Conflict, InvalidInput: as `rotate` and `expiry_of`.
    """
    end = expiry_of(clock.now(), expires_in=expires_in, expires_at=expires_at)
    with opened(settings, create=False) as engine:
        new, old = rotate(engine, name, overlap=overlap, expires_at=end)
    if json:
        _print_key(new, replaces=old)
        return
    now = clock.now()
    note(f"Created key {new.key.id}, which replaces key {old.id} ({escape(old.name)}) with the same rights and sender.")
    ended = old.expires_at or now
    if ended > now:
        note(f"The old key works until {minute(ended)} (UTC), in {age(ended - now)}.")
    else:
        note(
            f"The old key ended at {minute(ended)} (UTC). Running servers refuse it within {keys.CACHE_S:.0f} seconds."
        )
    _show_secret(new)
    next_steps(
        ("leads keys list", "see when each key was last used"),
        (f"leads keys revoke {old.id}", "end the old key now"),
        (f"leads keys revoke {new.key.id}", "revoke the new key"),
    )


def _print_key(created: CreatedKey, *, replaces: ApiKey | None = None) -> None:
    key = created.key
    document: dict[str, object] = {
        "id": key.id,
        "key": created.text,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "harms": None if key.harms is None else sorted(key.harms),
        "reviewer": key.reviewer,
        "sender": key.sender,
        "expires_at": _time(key.expires_at),
    }
    if replaces is not None:
        document["replaces"] = {"id": replaces.id, "expires_at": _time(replaces.expires_at)}
    print_json(msgspec.json.encode(document))


def _time(at: Micros | None) -> str | None:
    return None if at is None else clock.to_text(at)


def show_keys(settings: Settings) -> None:
    """Show every key, without its secret, and point out those that end soon."""
    with opened(settings, create=False) as engine:
        listed, now = keys.listing(engine), clock.now()
    if listed:
        rows = [_row(settings, key, now) for key in listed]
        caption = "A key's sender is its id, unless another one is shown below its name. Days are in UTC."
        console.print(table("API keys", _COLUMNS, rows, right=("req/s",), caption=caption))
        _warn({key.id: key for key in listed}, now)
    else:
        note("There are no API keys yet.")
    next_steps(
        ("leads keys create NAME", "create a key"),
        ("leads keys rotate NAME", "replace a key"),
        ("leads keys revoke ID", "revoke a key"),
    )


def revoke_key(settings: Settings, key_id: str) -> None:
    """Revoke a key.

    Raises:
        NotFound: no key has this id.
    """
    with opened(settings, create=False) as engine:
        named = ids_of(engine, key_id)
        if named and key_id not in named:
            raise NotFound(f"{key_id!r} is a key's name.", field="ID", remedy=f"Give its ID: {', '.join(named)}.")
        keys.revoke(engine, key_id)
        listed, now = keys.listing(engine), clock.now()
    note(f"Revoked key {key_id}. Running servers refuse it within {keys.CACHE_S:.0f} seconds.")
    (revoked,) = (key for key in listed if key.id == key_id)
    for key in listed:
        if key.caller == revoked.caller and key.revoked_at is None and not key.expired(now):
            note(f"The same caller's key {key.id} still works. To revoke it, too, run: leads keys revoke {key.id}")
    next_steps(("leads keys list", "list all keys"), ("leads keys create NAME", "create a new one"))


def show_admin_uses(settings: Settings, *, key: str | None, limit: int) -> None:
    """Show the newest requests that were allowed only because of the scope admin, newest first.

    Args:
        key: only those with the keys that have this name or id.

    Raises:
        NotFound: no key has it.
    """
    with opened(settings, create=False) as engine:
        known = None if key is None else ids_of(engine, key)
        uses = read_admin(engine, key_ids=known if key is None else known or [key], limit=limit)
    if known == [] and not uses:
        raise NotFound(f"No key has the name or id {key!r}.", field="--key", remedy="List them: leads keys list")
    rows = [
        (
            minute(use.at),
            use.key_id,
            escape(use.name),
            escape(f"{use.method} {use.route}"),
            ", ".join(use.scopes),
            str(use.status),
            escape(use.request_id),
        )
        for use in uses
    ]
    if rows:
        caption = "needed: scopes that the key has only through admin"
        console.print(table("Uses of the scope admin", _AUDIT_COLUMNS, rows, right=("status",), caption=caption))
    else:
        note("No request has needed the scope admin yet." if key is None else "No request with this key needed admin.")
    next_steps(("leads keys list", "list all keys"))


def _show_secret(created: CreatedKey) -> None:
    if created.key.expires_at is not None:
        note(f"It ends at {minute(created.key.expires_at)} (UTC).")
    note("Copy it now and keep it secret; it is not shown again:")
    console.print(f"\n  {created.text}", soft_wrap=True)


def _row(settings: Settings, key: ApiKey, now: Micros) -> tuple[str, ...]:
    return (
        key.id,
        escape(key.name) if key.sender == key.id else f"{escape(key.name)}\n[dim]{escape(key.sender)}[/dim]",
        "\n".join(sorted(key.scopes)),
        "\n".join(sorted(key.harms)) if key.harms else "all",
        escape(key.reviewer or ("any" if key.has("act_as") else "")),
        _rate(settings, key.rate),
        age(now - key.created_at),
        _ago(key, now),
        _end(key, now),
        _state(key, now),
    )


def _ago(key: ApiKey, now: Micros) -> str:
    return "never" if key.last_used_at is None else f"{age(now - key.last_used_at)} ago"


def _end(key: ApiKey, now: Micros) -> str:
    if key.expires_at is None:
        return "never"
    soon = 0 < key.expires_at - now < 2 * clock.DAY
    return f"in {age(key.expires_at - now)}" if soon else minute(key.expires_at)[:10]


def _state(key: ApiKey, now: Micros) -> str:
    if key.revoked_at is not None:
        return "[red]revoked[/red]"
    if key.expired(now):
        return "[red]replaced[/red]" if key.replaced_by else "[red]expired[/red]"
    if key.replaced_by is not None:
        return "[yellow]replaced[/yellow]"
    return "[yellow]ends soon[/yellow]" if _ends_soon(key, now) else "[green]valid[/green]"


def _ends_soon(key: ApiKey, now: Micros) -> bool:
    return key.expires_at is not None and key.expires_at <= now + SOON


def _warn(listed: Mapping[str, ApiKey], now: Micros) -> None:
    """Say which keys end soon, and which old keys are used although they were replaced."""
    for key in listed.values():
        if key.revoked_at is not None or key.expires_at is None or key.expired(now):
            continue
        ends = f"ends in {age(key.expires_at - now)}"
        name = f"Key {key.id} ({escape(key.name)})"
        if key.replaced_by is None and _ends_soon(key, now):
            note(f"[yellow]{name} {ends}. To replace it, run: leads keys rotate {key.id}[/yellow]")
        replacement = listed.get(key.replaced_by or "")
        if replacement is not None and (key.last_used_at or 0) > replacement.created_at:
            note(f"[yellow]{name} was used {_ago(key, now)}, after {replacement.id} replaced it. It {ends}.[/yellow]")


def _rate(settings: Settings, own: float | None) -> str:
    rate = settings.rate_limit if own is None else own
    return f"{rate:g}" if rate else "no limit"
