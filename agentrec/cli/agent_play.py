"""``agentrec agent play``: the inventory game on a terminal, alone or with advice, and what a study of it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentrec.agents.inventory.session import Session


def register(app: typer.Typer) -> None:
    """Add the commands to the application of ``agentrec agent``."""
    app.command("play")(play)
    app.command("study")(study)


def play(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    game: Annotated[str, typer.Argument(help="Which game: inventory.")] = "inventory",
    data: Annotated[str, typer.Option(help="'families' (drawn), a folder of InventoryBench, or a .csv.")] = "families",
    advice: Annotated[str, typer.Option(help="Policy that advises (adaptive, or, ...), or none.")] = "none",
    product: Annotated[int, typer.Option(help="Which product of the data, from 0.", min=0)] = 0,
    periods: Annotated[int | None, typer.Option(help="Play so many periods.", min=1)] = None,
    player: Annotated[str, typer.Option(help="Who plays, in words that name nobody.")] = "player",
    log: Annotated[Path, typer.Option(help="File of decisions.")] = Path("runs/inventory_games.jsonl"),
    profit: Annotated[float | None, typer.Option(help=".csv: profit per unit, without such a column.")] = None,
    holding_cost: Annotated[float | None, typer.Option(help=".csv: cost per unit left, without such a column.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, on the last line.")] = False,
) -> None:
    """Play the inventory game: order units, or q to leave; a game that was left goes on where it was.

    Examples:

        agentrec agent play inventory --periods 20

        agentrec agent play inventory --advice adaptive --player p7 --log study.jsonl
    """
    from agentrec.agents.inventory.context import Config
    from agentrec.agents.inventory.session import Session
    from agentrec.agents.inventory.world import open_world
    from agentrec.core.errors import ConfigError

    if game != "inventory":
        raise ConfigError(f"there is no game {game!r}; expected inventory")
    config = Config(
        data=data, play=True, limit=product + 1, periods=periods, profit=profit, holding_cost=holding_cost, seed=seed
    )
    session = Session(
        open_world(config).one(product), advice=None if advice == "none" else advice, log=log, player=player
    )
    _dialogue(session)
    summary = session.summary()
    if json_:
        typer.echo(json.dumps(summary, sort_keys=True))
    else:
        typer.echo(", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in summary.items()))
        typer.echo(f"decisions: {log}")


def _dialogue(session: Session) -> None:
    from agentrec.core.errors import AgentrecError

    while not session.done:
        typer.echo(f"\n{session.situation()}")
        if session.advice is not None:
            typer.echo(session.reasons())
        try:
            words = typer.prompt("order").strip()
        except typer.Abort:
            return
        if words.lower() in ("q", "quit"):
            return
        try:
            brought = session.order(int(words))
        except (AgentrecError, ValueError) as error:
            told = error if isinstance(error, AgentrecError) else f"{words!r} is no order; expected whole units, or q"
            typer.echo(f"error: {told}", err=True)
            continue
        typer.echo(
            f"{brought['arrivals']} arrived, {brought['demand']} asked for, {brought['sold']} sold, "
            f"{brought['on_hand']} left, reward {brought['reward']:g}"
        )


def study(
    logs: Annotated[list[Path], typer.Argument(help="Files of decisions.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, on the last line.")] = False,
) -> None:
    """Say at least which share of people does better with advice than alone, from logs of their games.

    Example:

        agentrec agent study study.jsonl
    """
    from agentrec.agents.inventory.session import study_of

    bound = study_of(logs)
    if json_:
        typer.echo(json.dumps(bound._asdict(), sort_keys=True))
        return
    typer.echo(
        f"at least {bound.estimate:.0%} of people did better with advice (95 % interval {bound.low:.0%} to "
        f"{bound.high:.0%}; for certain at 95 %: {bound.certain:.0%}), by outcomes around {bound.at:.3f}"
    )
