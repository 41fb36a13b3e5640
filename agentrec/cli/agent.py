"""``agentrec agent``: list agents, run one, go on with a run, show its trace, and play their games."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentrec.cli.tables import print_table

if TYPE_CHECKING:
    from agentrec.agents.run import Outcome
    from agentrec.core.types import JSON

app = typer.Typer(no_args_is_help=True, help="Run agents: workflows with a policy, a language model and a person.")

RUN_HELP = """Run an agent, until it is done or waits for a person.

Options of the agent, and those of its chat model, follow its name: `agentrec agent run inventory --help` lists them.
Without a model (`--backend policy`, the default) answers are computed. Keys come from the environment. The run's folder
holds its checkpoints, so a killed run goes on with `agentrec agent resume`.

Examples:

    agentrec agent run inventory --data my.csv --profit 4 --holding-cost 1 --on-hand 12

    agentrec agent run inventory --data my.csv --human --order-budget 500

    agentrec agent run inventory --data my.csv --backend openai --base-url http://127.0.0.1:8000/v1 --token-budget 99000
"""

Folder = Annotated[Path, typer.Argument(help="Folder of a run.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON, on the last line of stdout.")]
AskFlag = Annotated[
    bool | None,
    typer.Option("--ask/--no-ask", help="Ask on this terminal what the agent asks; by default if there is one."),
]


@app.command("list")
def list_agents(json_: JsonFlag = False) -> None:
    """List the agents.

    Example:

        agentrec agent list
    """
    from agentrec.agents.agent import REGISTRY

    summaries = REGISTRY.summaries()
    if json_:
        typer.echo(json.dumps(summaries, sort_keys=True))
        return
    print_table(["agent", "what it does"], list(summaries.items()))


@app.command(
    "run",
    help=RUN_HELP,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def run_an_agent(  # noqa: PLR0917 - one parameter per option; typer passes them by name
    context: typer.Context,
    agent: Annotated[str | None, typer.Argument(help="An agent of `agentrec agent list`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one in runs/agents.")] = None,
    ask: AskFlag = None,
    json_: JsonFlag = False,
    help_: Annotated[bool, typer.Option("--help", help="Show this message, or the options of the agent.")] = False,
) -> None:
    """Run an agent; the help text is `RUN_HELP`."""
    if agent is None or help_:
        _print_help(context, agent)
        return
    from agentrec.agents.agent import REGISTRY
    from agentrec.cli.options import parse_settings
    from agentrec.core.config import from_mapping
    from agentrec.core.errors import ConfigError
    from agentrec.serving.chat.config import ChatConfig

    if agent.startswith("-"):
        raise ConfigError(f"{agent} stands before the agent's name; expected `agentrec agent run <agent> {agent} ...`")
    config = REGISTRY.load(agent).config
    command = f"agentrec agent run {agent}"
    given = parse_settings(_joined(config, ChatConfig), context.args, command=command, taken=("out", "ask", "json"))
    chat = {name: value for name, value in given.items() if name in ChatConfig.__dataclass_fields__}
    settings = {name: value for name, value in given.items() if name not in chat}
    from agentrec.agents.run import start_run

    folder = out or Path("runs/agents") / f"{agent}-{uuid.uuid4().hex[:8]}"
    outcome = start_run(agent, settings, from_mapping(ChatConfig, chat), folder, say=None if json_ else _say)
    _finish(_asked(outcome, _asks(ask, json_)), json_=json_)


@app.command("resume")
def resume_a_run(
    folder: Folder,
    answer: Annotated[
        str | None, typer.Option(help="What you answer to the agent's question, in JSON or as on the terminal.")
    ] = None,
    ask: AskFlag = None,
    json_: JsonFlag = False,
) -> None:
    """Go on with a run that was killed, or that waits for you.

    Examples:

        agentrec agent resume runs/agents/inventory-1a2b3c4d

        agentrec agent resume runs/agents/inventory-1a2b3c4d --answer accept

        agentrec agent resume runs/agents/inventory-1a2b3c4d --answer "tea=12 because a fair is on"
    """
    from agentrec.agents.run import resume_run

    say = None if json_ else _say
    outcome = resume_run(folder, say=say if answer is None else None)
    if answer is not None:
        outcome = resume_run(folder, _answer(outcome, answer), say=say)
    _finish(_asked(outcome, _asks(ask, json_)), json_=json_)


@app.command("trace")
def show_trace(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="File of the page; by default trace.html in the folder.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Write a run's trace as a web page: every step, what went in and out, tokens and time.

    Examples:

        agentrec agent trace runs/agents/inventory-1a2b3c4d

        agentrec agent trace runs/agents/inventory-1a2b3c4d --json
    """
    from agentrec.agents.trace import trace_of, write_trace

    if json_:
        typer.echo(json.dumps(trace_of(folder), sort_keys=True, ensure_ascii=False))
        return
    found = trace_of(folder)
    columns = ["node", "steps", "seconds", "questions", "tokens"]
    rows = [
        [row["node"], str(row["steps"]), f"{row['seconds']:.3f}", str(row["calls"]), str(row["tokens"])]
        for row in found["nodes"]
    ]
    print_table(columns, rows)
    typer.echo(f"trace: {write_trace(folder, out)}")


def _joined(*configs: type[Any]) -> type[Any]:
    """One dataclass with the fields of several, for the options of a command."""
    import dataclasses
    import typing

    fields = [
        (
            field.name,
            typing.get_type_hints(config)[field.name],
            dataclasses.field(default=field.default, metadata=field.metadata),
        )
        for config in configs
        for field in dataclasses.fields(config)
    ]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


def _print_help(context: typer.Context, agent: str | None) -> None:
    typer.echo(context.get_help())
    if agent is None:
        return
    from agentrec.agents.agent import REGISTRY
    from agentrec.cli.options import parser_of
    from agentrec.serving.chat.config import ChatConfig

    for title, config in ((agent, REGISTRY.load(agent).config), ("the chat model", ChatConfig)):
        text = parser_of(config, command=f"agentrec agent run {agent}").format_help()
        typer.echo(f"Options of {title}:\n\n{text.partition('options:')[2].strip(chr(10))}\n")


def _say(event: JSON) -> None:
    """Progress and failed calls, on stderr."""
    if event["kind"] == "progress":
        typer.echo(f"{event['done']}/{event['total']}: {event['text']}", err=True)
    elif event["kind"] == "call" and event.get("error"):
        typer.echo(f"no answer: {event['error']}", err=True)


def _asks(ask: bool | None, json_: bool) -> bool:
    return (sys.stdin.isatty() and not json_) if ask is None else ask


def _answer(outcome: Outcome, words: str) -> JSON:
    """An answer in JSON, or in words."""
    from agentrec.core.errors import ConfigError

    if outcome.question is None:
        raise ConfigError(f"{outcome.folder} asks nothing; expected no answer, so resume it without")
    try:
        found: JSON = json.loads(words)
    except ValueError:
        return _agent_of(outcome).heard(outcome.question, words)  # type: ignore[no-any-return]
    if not isinstance(found, dict):
        raise ConfigError(f"answer is {words!r}; expected a JSON object or {outcome.question.get('answers', 'words')}")
    return found


def _asked(outcome: Outcome, ask: bool) -> Outcome:
    """Ask the person here, as long as the run waits."""
    from agentrec.agents.run import resume_run
    from agentrec.core.errors import AgentrecError

    while ask and outcome.question is not None:
        for line in _agent_of(outcome).asked(outcome.question):
            typer.echo(line, err=True)
        try:
            words = typer.prompt(">", prompt_suffix=" ", err=True)
        except typer.Abort:
            break
        try:
            answer = _answer(outcome, words)
        except AgentrecError as error:
            typer.echo(f"error: {error}", err=True)
            continue
        outcome = resume_run(outcome.folder, answer, say=_say)
    return outcome


def _agent_of(outcome: Outcome) -> Any:
    from agentrec.agents.agent import REGISTRY
    from agentrec.agents.run import read_run

    return REGISTRY.load(read_run(outcome.folder)["agent"])()


def _finish(outcome: Outcome, *, json_: bool) -> None:
    """Print where the run stands."""
    content = {**outcome.result, "status": outcome.status, "question": outcome.question, "folder": str(outcome.folder)}
    if json_:
        from agentrec.core.files import as_json

        typer.echo(json.dumps(as_json(content), sort_keys=True, ensure_ascii=False))
        return
    if outcome.question is not None:
        for line in _agent_of(outcome).asked(outcome.question):
            typer.echo(line)
        typer.echo(f"the run waits for you: agentrec agent resume {outcome.folder} --answer ...")
        return
    columns, rows = _agent_of(outcome).told(outcome.result)
    print_table(columns, rows)
    typer.echo(f"run: {outcome.folder}")


from agentrec.cli import agent_play  # noqa: E402 - adds its command to the application above

agent_play.register(app)
