"""Play the inventory game, alone or with advice, and say to a shop's file what to order next, as a person decides."""

from __future__ import annotations

import uuid
import warnings
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

from agentrec.agents.inventory.context import Config
from agentrec.agents.inventory.person import by_whom
from agentrec.agents.inventory.session import Session
from agentrec.agents.inventory.world import open_world
from agentrec.core.errors import AgentrecError
from agentrec.core.types import JSON
from agentrec.ui.client import ServiceClient

LOG = Path("runs/inventory_games.jsonl")
RUNS = Path("runs/agents")
ADVICE = ["none", "adaptive", "or"]
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


class Inventory:
    """The tab of the inventory game and the inventory agent."""

    title: ClassVar[str] = "Inventory"
    order: ClassVar[int] = 40

    def build(self, client: ServiceClient) -> None:
        """See `agentrec.ui.page.Tab`."""
        with gr.Accordion("Play the game", open=True):
            _game()
        with gr.Accordion("Next orders for a shop", open=False):
            _shop()


def _game() -> None:
    """A game of drawn demand, period by period."""
    with gr.Row():
        player = gr.Textbox(label="Player", value="player", info="in words that name nobody")
        advice = gr.Radio(label="Advice", choices=ADVICE, value="none")
        periods = gr.Slider(label="Periods", minimum=2, maximum=50, step=1, value=20)
        seed = gr.Number(label="Game number", value=0, precision=0)
        start = gr.Button("Start the game")
    shown = gr.HTML(elem_classes="found", elem_id="game")
    with gr.Row():
        units = gr.Number(label="Order", value=0, precision=0, minimum=0)
        order = gr.Button("Place the order", variant="primary")
    settings = [player, advice, periods, seed]
    held = gr.State(None)
    start.click(begin, settings, [held, shown], **HIDDEN)
    gr.on([order.click, units.submit], place, [held, units], [held, shown], **HIDDEN)


def begin(player: str, advice: str, periods: float, seed: float) -> tuple[JSON, str]:
    """Begin a game, or go on with one that was left: what identifies it, and how it looks."""
    game = {"player": player, "advice": advice, "periods": int(periods), "seed": int(seed)}
    return game, _drawn(_session(game))


def place(game: JSON | None, units: float | None) -> tuple[JSON | None, str]:
    """Order and play one period."""
    if game is None:
        return None, "<p>Start a game first.</p>"
    session = _session(game)
    if session.done or units is None:
        return game, _drawn(session)
    try:
        brought = session.order(int(units))
    except AgentrecError as error:
        return game, f"<p role='alert'>{escape(str(error))}</p>{_drawn(session)}"
    told = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in brought.items())
    return game, f"<p>Last period: {escape(told)}.</p>{_drawn(session)}"


def _session(game: JSON) -> Session:
    """The game as its log says; nothing of it is kept in this process."""
    world = open_world(Config(play=True, limit=1, periods=game["periods"], seed=game["seed"]))
    advice = None if game["advice"] == "none" else game["advice"]
    return Session(world.one(0), advice=advice, log=LOG, player=game["player"])


def _drawn(session: Session) -> str:
    if session.done:
        parts = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in session.summary().items()]
        return f"<p><strong>The game is over:</strong> {escape(', '.join(parts))}.</p>"
    return f"<pre>{escape(session.situation())}</pre><p>{escape(session.reasons())}</p>"


def _shop() -> None:
    """A shop's file, and a person between proposal and order."""
    with gr.Row():
        file = gr.File(label="Sales as .csv", file_types=[".csv"], type="filepath")
        profit = gr.Number(label="Profit per unit", value=None)
        holding = gr.Number(label="Cost per unit left and period", value=None)
        propose = gr.Button("Propose orders", variant="primary")
    shown = gr.HTML(elem_classes="found", elem_id="orders")
    with gr.Row():
        words = gr.Textbox(label="Your answer", placeholder="accept, explain, or product=units because ...")
        say = gr.Button("Answer")
    folder = gr.State("")
    propose.click(proposed, [file, profit, holding], [folder, shown], **HIDDEN)
    gr.on([say.click, words.submit], answered, [folder, words], shown, **HIDDEN)


def proposed(file: str | None, profit: float | None, holding: float | None) -> tuple[str, str]:
    """Start the inventory agent on a file: the run's folder, and its question."""
    if find_spec("langgraph") is None:
        return "", "<p>langgraph is not installed; install it with <code>pip install 'agentrec[agents]'</code></p>"
    if file is None:
        return "", "<p>Choose a file first.</p>"
    from agentrec.agents.run import start_run
    from agentrec.serving.chat.config import ChatConfig

    given = {"profit": profit, "holding_cost": holding}
    settings = {name: float(value) for name, value in given.items() if value is not None}
    folder = RUNS / f"inventory-{uuid.uuid4().hex[:8]}"
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            outcome = start_run("inventory", {"data": str(file), "human": True, **settings}, ChatConfig(), folder)
    except AgentrecError as error:
        return "", f"<p role='alert'>{escape(str(error))}</p>"
    notes = "".join(f"<p>{escape(str(warning.message))}</p>" for warning in told)
    return str(folder), notes + _outcome(outcome)


def answered(folder: str, words: str) -> str:
    """Go on with a person's answer."""
    if not folder:
        return "<p>Ask for orders first.</p>"
    from agentrec.agents.inventory.person import heard
    from agentrec.agents.run import resume_run

    outcome = resume_run(folder)
    if outcome.question is None:
        return _outcome(outcome)
    try:
        return _outcome(resume_run(folder, heard(outcome.question, words)))
    except AgentrecError as error:
        return f"<p role='alert'>{escape(str(error))}</p>{_outcome(outcome)}"


def _outcome(outcome: Any) -> str:
    """A question, or the orders that were placed."""
    question = outcome.question
    parts = outcome.result["products"] if question is None else question["products"]
    rows = "".join(
        f"<tr><td>{escape(part['product'])}</td><td class='score'>{part['order']}</td>"
        f"<td>{escape(by_whom(part['source']))}</td>"
        f"<td>{escape(part['reasons'])}<small>{escape('; '.join(part['notes']))}</small></td></tr>"
        for part in parts
    )
    title = "Orders placed" if question is None else "Orders proposed"
    told = (
        ""
        if question is None
        else "".join(
            f"<p role='alert'>{escape(text)}</p>"
            for text in [question["problem"], *question["explained"].values()]
            if text
        )
    )
    head = "<tr><th>product</th><th>order</th><th>from</th><th>why</th></tr>"
    return f"<p><strong>{title}</strong></p>{told}<table>{head}{rows}</table>"


METHOD = Inventory
