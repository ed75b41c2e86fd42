"""`leads keys`: API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, duration, instant, read_configuration, read_settings

keys_app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)

ExpiresIn = Annotated[str | None, typer.Option(help="How long the key works, such as 90d or 24h.")]
ExpiresAt = Annotated[str | None, typer.Option(help="Until when the key works, such as 2026-12-31T12:00:00Z.")]


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Who or what will use the key.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="score, leads:read, leads:decide, act_as, events:write, monitoring:read, monitoring:write, metrics or "
            "admin; repeat for several. Default: score, leads:read, leads:decide and events:write."
        ),
    ] = None,
    harm: Annotated[list[str] | None, typer.Option(help="Limit the key to this harm; repeat for several.")] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(help="Reviewer that the key acts as. Default: NAME, unless the key has act_as or admin."),
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option(
            help="Sender of the key's events. Default: a new one. If the key replaces one that was revoked, give that "
            "key's sender."
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Requests per second, or 0 for no limit. Default: LEADS_RATE_LIMIT.")
    ] = None,
    expires_in: ExpiresIn = None,
    expires_at: ExpiresAt = None,
    json: Json = False,
) -> None:
    """Create a key and print it. It is shown only once."""
    from cli.ui.keys import create_key

    create_key(
        *read_configuration(),
        name,
        scopes=scope,
        harms=harm,
        rate=rate,
        sender=sender,
        reviewer=reviewer,
        expires_in=duration(expires_in, "--expires-in"),
        expires_at=instant(expires_at, "--expires-at"),
        json=json,
    )


@keys_app.command("rotate")
def keys_rotate(
    name: Annotated[str, typer.Argument(help="Name or ID of the key.")],
    overlap: Annotated[str, typer.Option(help="How long the old key keeps working; 0: it ends now.")] = "24h",
    expires_in: ExpiresIn = None,
    expires_at: ExpiresAt = None,
    json: Json = False,
) -> None:
    """Replace a key by a new one for the same caller, and print it. The old key keeps working for a while.

    Without --expires-in and --expires-at, the new key works for as long as the old one did.
    """
    from cli.ui.keys import rotate_key

    rotate_key(
        read_settings(),
        name,
        overlap=duration(overlap, "--overlap") or 0,
        expires_in=duration(expires_in, "--expires-in"),
        expires_at=instant(expires_at, "--expires-at"),
        json=json,
    )


@keys_app.command("list")
def keys_list() -> None:
    """List all keys, without their secrets: what they may do, when they were last used, and when they end."""
    from cli.ui.keys import show_keys

    show_keys(read_settings())


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="ID of the key, as shown by `leads keys list`.")]) -> None:
    """Revoke a key. It stops working within five seconds."""
    from cli.ui.keys import revoke_key

    revoke_key(read_settings(), key_id)


@keys_app.command("audit")
def keys_audit(
    key: Annotated[str | None, typer.Option(help="Only requests with this key: its name or ID.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of requests.")] = 50,
) -> None:
    """List the newest requests that were allowed only because their key has the scope admin."""
    from cli.ui.keys import show_admin_uses

    show_admin_uses(read_settings(), key=key, limit=limit)
