"""The command line: every verb in its own file, and one place that turns errors into one line and exit code 2."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from agentrec import __version__
from agentrec.cli import agent, data, eval, listing, recommend, run, serve, sids, train, ui
from agentrec.core.errors import AgentrecError, AgentrecWarning

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Toolkit for LLM recommenders: data, semantic IDs, training, recommending, evaluation.",
    epilog="Start with `agentrec run quickstart`: a simulated shop through all steps, with a report at the end.",
)
app.add_typer(data.app, name="data")
app.add_typer(sids.app, name="sids")
app.add_typer(train.app, name="train")
app.add_typer(eval.app, name="eval")
app.add_typer(agent.app, name="agent")
app.command("recommend")(recommend.recommend)
app.command("serve")(serve.serve)
app.command("ui")(ui.ui)
app.command("run")(run.run)
app.command("list")(listing.list_methods)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line; errors a user can mend print as one line, and the exit code is 2."""
    warnings.showwarning = _one_line
    try:
        app()
    except AgentrecError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        _fail(f"the library {error.name!r} is not installed; install it with `pip install 'agentrec[train]'`")
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}; check the path, the rights and the free space")
    except MemoryError:
        _fail("the memory of this machine does not suffice; use smaller batches or fewer items")


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _one_line(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    """Show our own warnings as one line, those of libraries not at all unless Python was asked for them (-W)."""
    if issubclass(category, AgentrecWarning) or sys.warnoptions:
        typer.echo(f"warning: {message}", err=True)


__all__ = ["app", "main"]
