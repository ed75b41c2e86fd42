"""`leads encoder`: encoders that are fine-tuned on the labels of all harms, and the one that harms are trained with."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.options import Quiet, read_configuration

encoder_app = typer.Typer(
    help="Fine-tune an encoder on the labels of all harms, list, promote and roll back encoders.", no_args_is_help=True
)
Why = Annotated[str | None, typer.Option("--why", help="Reason, kept with the encoder.")]


@encoder_app.command("train")
def encoder_train(
    promote: Annotated[
        bool, typer.Option("--promote", help="Train harms with it from now on. The first encoder always is promoted.")
    ] = False,
    precision: Annotated[
        Literal["int8", "float32"] | None, typer.Option(help="Of the weights in serving. Default: int8.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=20, help="How often each text is seen. Default: 2.")] = None,
    quiet: Quiet = False,
) -> None:
    """Fine-tune an encoder on the texts and labels of all harms. Takes up to an hour on two cores, and goes on where
    it ended if it is killed."""
    from cli.ui.encoder import train

    train(*read_configuration(), promote=promote, precision=precision, epochs=epochs, quiet=quiet)


@encoder_app.command("list")
def encoder_list() -> None:
    """List encoders, how well they rank, and the versions of harms that need them."""
    from cli.ui.encoder import show

    show(*read_configuration())


@encoder_app.command("promote")
def encoder_promote(
    version: Annotated[str, typer.Argument(help="Number of the encoder, as shown by `leads encoder list`.")],
    why: Why = None,
) -> None:
    """Train harms with this encoder from now on. Versions that serve keep the encoder that they were trained with."""
    from cli.ui.encoder import promote

    promote(*read_configuration(), version.removeprefix("v"), why or "Promoted by hand.")


@encoder_app.command("rollback")
def encoder_rollback(why: Why = None) -> None:
    """Train harms with the encoder that was promoted before, or without one. Nothing else is rolled back."""
    from cli.ui.encoder import roll_back

    roll_back(*read_configuration(), why or "Rolled back by hand.")
