"""API keys: create, list, revoke."""

from __future__ import annotations

from collections.abc import Sequence

from cli.ui.database import opened
from cli.ui.terminal import console, escape, minute, next_steps, note, table
from leads.db import keys
from leads.environment.addresses import url_of
from leads.policies import Policies
from leads.settings import Settings

_COLUMNS = ("id", "name", "scopes", "harms", "sender", "reviewer", "requests/s", "created (UTC)", "state")
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
) -> None:
    """Create a key and print it.

    Raises:
        NotFound: an unknown harm.
        InvalidInput: as `keys.create`.
    """
    for harm in harms or ():
        policies.harm(harm, field="--harm")
    chosen = tuple(scopes or _DEFAULT_SCOPES)
    with opened(settings) as engine:
        created = keys.create(engine, name, chosen, harms=harms or None, rate=rate, sender=sender, reviewer=reviewer)
    note(f"Created key {created.key.id} for {escape(name)}, with scopes {', '.join(chosen)}.")
    if created.key.reviewer:
        note(f"It acts as the reviewer {escape(created.key.reviewer)}.")
    note(f"Its events have the sender {created.key.sender}.")
    note("Copy it now and keep it secret; it is not shown again:")
    console.print(f"\n  {created.text}", soft_wrap=True)
    address = url_of(settings.host, settings.port)
    next_steps(
        ("leads serve", "start the service"),
        (f"curl -H 'x-api-key: {created.text[:6]}…' {address}/v1/leads", "request the ranked leads"),
        (f"leads keys revoke {created.key.id}", "revoke this key"),
        settings=settings,
    )


def show_keys(settings: Settings) -> None:
    """Show every key, without its secret."""
    with opened(settings, create=False) as engine:
        listed = keys.listing(engine)
    rows = [
        (
            key.id,
            escape(key.name),
            ", ".join(sorted(key.scopes)),
            ", ".join(sorted(key.harms)) if key.harms else "all",
            key.sender,
            escape(key.reviewer or ("any" if key.has("act_as") else "")),
            _rate(settings, key.rate),
            minute(key.created_at),
            "[red]revoked[/red]" if key.revoked_at else "[green]valid[/green]",
        )
        for key in listed
    ]
    if rows:
        console.print(table("API keys", _COLUMNS, rows, right=("requests/s",)))
    else:
        note("There are no API keys yet.")
    next_steps(("leads keys create NAME", "create a key"), ("leads keys revoke ID", "revoke a key"))


def revoke_key(settings: Settings, key_id: str) -> None:
    """Revoke a key.

    Raises:
        NotFound: there is no such key.
    """
    with opened(settings, create=False) as engine:
        keys.revoke(engine, key_id)
    note(f"Revoked key {key_id}. Running servers refuse it within {keys.CACHE_S:.0f} seconds.")
    next_steps(("leads keys list", "list all keys"), ("leads keys create NAME", "create a new one"))


def _rate(settings: Settings, own: float | None) -> str:
    rate = settings.rate_limit if own is None else own
    return f"{rate:g}" if rate else "no limit"
