"""Runs of agents in folders: started, waiting for a person, killed, gone on with, done.

A folder holds ``run.json`` (agent, settings, versions, hashes of data, code and prompts), ``checkpoints.sqlite`` (the
state after every step, on disk before the next one begins), ``events.jsonl`` (the trace), ``ledger.jsonl`` (calls of
the chat model) and ``result.json``. A run that was killed goes on at the step where it was; steps of the same moment
that had finished are not repeated.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from agentrec.agents.agent import REGISTRY, Agent, AgentContext
from agentrec.agents.asking import prompt_hashes
from agentrec.agents.events import EventLog
from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError, require
from agentrec.core.files import as_json, read_json, write_json
from agentrec.core.provenance import code_hash, versions
from agentrec.core.types import JSON
from agentrec.serving.chat.config import ChatConfig

require("langgraph", "agents")

from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402 - only after the sentence that says how to install it
from langgraph.types import Command  # noqa: E402

RUN, RESULT, CHECKPOINTS, LOCK = "run.json", "result.json", "checkpoints.sqlite", "lock"
FORMAT = 1
STEPS = 1_000_000  # LangGraph's own limit is 1,000 steps; runs end by themselves
THREAD = "run"

Say = Callable[[JSON], None]


@dataclass(frozen=True)
class Outcome:
    """Where a run stands.

    Attributes:
        status: ``done``, or ``waiting`` for a person.
        question: what the person is asked; None when done.
        result: what came out so far.
        folder: of the run.
    """

    status: Literal["done", "waiting"]
    question: JSON | None
    result: JSON
    folder: Path


def start_run(
    name: str, settings: Mapping[str, Any], chat: ChatConfig, folder: str | Path, *, say: Say | None = None
) -> Outcome:
    """Start an agent in a new folder, and run it until it is done or waits for a person.

    Args:
        name: of the agent.
        settings: of its `Agent.config`.
        chat: the chat model.
        folder: of the run; new or empty.
        say: told of progress and of calls, as they happen.

    Raises:
        UnknownNameError: there is no such agent.
        ConfigError: a setting is wrong.
        AgentrecError: the folder holds something else, or the data cannot be used.
    """
    folder = Path(folder)
    agent: Agent = REGISTRY.load(name)()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise AgentrecError(
            f"{folder} exists and is not empty; expected a new folder, so choose another, or go on with the run that "
            f"lies there by `agentrec agent resume {folder}`"
        )
    chat_settings = asdict(chat)
    context = agent.context(settings, chat_settings=chat_settings, folder=str(folder))
    record = {
        "format": FORMAT,
        "agent": name,
        "settings": as_json(settings),
        "chat": chat_settings,
        "data": agent.fingerprint(context),
        "prompts": prompt_hashes(agent.prompts),
        "code": code_hash("agents", "serving", "prompts"),
        "versions": versions(),
        "backend": f"{context.chat.backend.name}:{context.chat.backend.model}",
    }
    write_json(folder / RUN, record)
    return _run(agent, context, folder, "started", say=say)


def resume_run(folder: str | Path, answer: JSON | None = None, *, say: Say | None = None) -> Outcome:
    """Go on with a run: where it was killed, or with a person's answer where it waits.

    Args:
        folder: of the run.
        answer: the person's; without one, a run that waits goes on waiting.
        say: told of progress and of calls.

    Raises:
        ArtefactError: no run lies there, or its data are others now.
        ConfigError: an answer to a run that asks nothing.
    """
    folder = Path(folder)
    record = read_run(folder)
    agent: Agent = REGISTRY.load(record["agent"])()
    context = agent.context(record["settings"], chat_settings=record["chat"], folder=str(folder))
    found = agent.fingerprint(context)
    if found != record["data"]:
        raise ArtefactError(
            f"{folder} was started on data with the hash {record['data']}, which is {found} now; expected the same "
            "data, so restore them or start a new run"
        )
    return _run(agent, context, folder, "resumed", answer=answer, say=say)


def read_run(folder: str | Path) -> JSON:
    """What a run was started with.

    Raises:
        ArtefactError: no run lies there.
    """
    folder = Path(folder)
    if not (folder / RUN).is_file():
        raise ArtefactError(f"{folder} holds no {RUN}; expected the folder of a run, so check the path")
    record: JSON = read_json(folder / RUN)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ArtefactError(f"{folder / RUN} is of another format than {FORMAT}; expected a run of this version")
    return record


def _run(
    agent: Agent,
    context: AgentContext,
    folder: Path,
    began: str,
    *,
    answer: JSON | None = None,
    say: Say | None = None,
) -> Outcome:
    with _alone(folder), _checkpoints(folder) as saver, contextlib.closing(context):
        graph = agent.build().compile(checkpointer=saver)
        place: Any = {"configurable": {"thread_id": THREAD}, "recursion_limit": STEPS}
        given = _input(graph.get_state(place), answer)
        log = EventLog(folder / "events.jsonl", say)
        if given is not _NOTHING:
            log.mark(began)
            modes = ["tasks", "custom"]
            for mode, event in graph.stream(given, place, context=context, stream_mode=modes, durability="sync"):
                log.add(mode, event)
        state = graph.get_state(place)
        question = state.interrupts[0].value if state.interrupts else None
        result = agent.result(state.values, context)
        status: Literal["done", "waiting"] = "waiting" if question is not None else "done"
        if given is not _NOTHING:
            log.mark(status)
        write_json(folder / RESULT, as_json({**result, "status": status, "spent": _spent(context)}))
        return Outcome(status, question, result, folder)


_NOTHING = object()  # nothing to run: it is done, or waits and got no answer


def _input(state: Any, answer: JSON | None) -> Any:
    """What the graph is given to go on.

    A run is over where no task is left. ``state.next`` would not do: it leaves tasks out that have finished, also
    where the run was killed before their step was closed.
    """
    waits = bool(state.interrupts)
    if answer is not None and not waits:
        raise ConfigError("an answer was given and the run asks nothing; expected none, so resume it without")
    if waits:
        return _NOTHING if answer is None else Command(resume=answer)
    if not state.values and not state.tasks:
        return {}
    return None if state.tasks else _NOTHING


def _spent(context: AgentContext) -> JSON:
    totals = context.chat.ledger.totals
    backend = context.chat.backend
    return {**totals._asdict(), "backend": backend.name, "model": backend.model}


@contextlib.contextmanager
def _checkpoints(folder: Path) -> Iterator[SqliteSaver]:
    connection = sqlite3.connect(folder / CHECKPOINTS, check_same_thread=False)
    try:
        yield SqliteSaver(connection)
    finally:
        connection.close()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process that holds it.

    Raises:
        AgentrecError: another process runs it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise AgentrecError(
            f"{folder} is being run by another process; expected nobody else, so wait for it"
        ) from error
    try:
        yield
    finally:
        lock.release()
