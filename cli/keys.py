"""`leads keys`: API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import read_configuration, read_settings

keys_app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Who or what will use the key.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="score, leads:read, leads:decide, act_as, events:write or admin; repeat for several. "
            "Default: all but act_as and admin."
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
            help="Sender of the key's events. Default: a new one. If the key replaces another, give that key's sender."
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Requests per second, or 0 for no limit. Default: LEADS_RATE_LIMIT.")
    ] = None,
) -> None:
    """Create a key and print it. It is shown only once."""
    from cli.ui.keys import create_key

    create_key(*read_configuration(), name, scopes=scope, harms=harm, rate=rate, sender=sender, reviewer=reviewer)


@keys_app.command("list")
def keys_list() -> None:
    """List all keys, without their secrets."""
    from cli.ui.keys import show_keys

    show_keys(read_settings())


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="ID of the key, as shown by `leads keys list`.")]) -> None:
    """Revoke a key. It stops working within five seconds."""
    from cli.ui.keys import revoke_key

    revoke_key(read_settings(), key_id)
