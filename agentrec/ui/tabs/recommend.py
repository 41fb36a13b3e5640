"""Pick or type a history, see what is recommended: titles, scores and semantic IDs, under any constraint set."""

from __future__ import annotations

from html import escape
from typing import Any, ClassVar

import gradio as gr

from agentrec.ui.client import AnswerError, ServiceClient

WHOLE = "all"


class Recommend:
    """The tab of single recommendations."""

    title: ClassVar[str] = "Recommend"
    order: ClassVar[int] = 0

    def build(self, client: ServiceClient) -> None:
        """See `agentrec.ui.page.Tab`."""
        with gr.Row():
            with gr.Column(scale=2):
                user = gr.Textbox(label="User id", placeholder="a user of the data set, or a history below")
                words = gr.Textbox(label="Find items", placeholder="words of a title, then Enter")
                found = gr.CheckboxGroup(label="Found", choices=[], visible=False)
                history = gr.Dropdown(label="History, oldest first", choices=[], multiselect=True)
                constraint = gr.Dropdown(
                    label="Constraint set, or an expression such as in_stock - old",
                    choices=[WHOLE],
                    value=WHOLE,
                    allow_custom_value=True,
                )
                mode = gr.Radio(label="Mode", choices=["direct", "think"], value="direct")
                n = gr.Slider(label="Items", minimum=1, maximum=50, step=1, value=10)
                seen = gr.Checkbox(label="Leave the history's items out")
                explain = gr.Checkbox(label="Explain", value=True)
                go = gr.Button("Recommend", variant="primary")
            with gr.Column(scale=3):
                shown = gr.HTML(elem_classes="found", elem_id="found")
        _Events(client).connect(words, found, history, constraint)
        asked = [user, history, constraint, mode, n, seen, explain]
        gr.on([go.click, user.submit], _Events(client).recommend, asked, shown, api_visibility="private")


class _Events:
    """What happens when something is pressed."""

    def __init__(self, client: ServiceClient) -> None:
        self.client = client

    def connect(self, words: Any, found: Any, history: Any, constraint: Any) -> None:
        """Searching, picking, and the list of sets, which is read anew whenever it is opened."""
        hidden = {"api_visibility": "private", "show_progress": "hidden"}
        words.submit(self.find, words, found, **hidden)
        found.input(self.pick, [found, history], history, **hidden)
        constraint.focus(self.sets, constraint, constraint, **hidden)

    async def find(self, words: str) -> Any:
        """Items for the words."""
        items = await _told(self.client.search(words)) if words.strip() else []
        choices = [(item["title"], _pair(item)) for item in items]
        label = "Found: tick what belongs to the history" if items else "Nothing has these words"
        return gr.CheckboxGroup(label=label, choices=choices, value=[], visible=bool(words.strip()))

    def pick(self, found: list[str], history: list[str] | None) -> Any:
        """Add what is ticked to the history."""
        chosen = list(dict.fromkeys([*(history or []), *found]))
        return gr.Dropdown(choices=[(_title(pair), pair) for pair in chosen], value=chosen)

    async def sets(self, chosen: str) -> Any:
        """The sets of now."""
        sizes = await _told(self.client.sets())
        return gr.Dropdown(choices=[(f"{name} ({size:,})", name) for name, size in sizes.items()], value=chosen)

    async def recommend(  # noqa: PLR0917 - one parameter per component; Gradio passes them by place
        self, user: str, history: list[str], constraint: str, mode: str, n: float, seen: bool, explain: bool
    ) -> str:
        """The list as HTML."""
        asked: dict[str, Any] = {"n": int(n), "mode": mode, "exclude_seen": seen, "explain": explain}
        asked |= {} if constraint in (WHOLE, None) else {"constraint": constraint}
        if user.strip():
            asked["user_id"] = user.strip()
        if history:
            asked["history"] = [_id(pair) for pair in history]
        return as_html(await _told(self.client.recommend(asked)))


async def _told(asking: Any) -> Any:
    """The answer, or a message on the page."""
    try:
        return await asking
    except AnswerError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _pair(item: dict[str, Any]) -> str:
    """Id and title in one value, because the page keeps no state of its own."""
    return f"{item['id']}\n{item['title']}"


def _id(pair: str) -> str:
    return pair.partition("\n")[0]


def _title(pair: str) -> str:
    return pair.partition("\n")[2] or pair


def as_html(found: dict[str, Any]) -> str:
    """A list of recommendations as a table; every text is escaped."""
    rows = "".join(_row(place, item) for place, item in enumerate(found["items"], 1))
    timings = found["timings"]
    facts = f"set {found['constraint']}, mode {found['mode']}, {timings['total_ms']:.0f} ms"
    told = f"<p><em>{escape(found['text'])}</em></p>" if found.get("text") else ""
    head = "<tr><th></th><th>Item</th><th>Score</th><th>Semantic ID</th></tr>"
    return f"{told}<table>{head}{rows}</table><p><small>{escape(facts)}</small></p>"


def _row(place: int, item: dict[str, Any]) -> str:
    score = "" if item["score"] is None else f"{item['score']:.3f}"
    about = item.get("explanation") or {}
    near, path = about.get("nearest"), about.get("path", [])
    why = f"<small>like {escape(near['title'])}: {near['levels']} codes in common</small>" if near else ""
    sizes = f"<small>{' → '.join(str(step['items']) for step in path)} items</small>" if path else ""
    sid = escape("".join(item["sid"]))
    named = f"{escape(item['title'])}<small>{escape(item['id'])}</small>{why}"
    return f"<tr><td>{place}</td><td>{named}</td><td class='score'>{score}</td><td><code>{sid}</code>{sizes}</td></tr>"


METHOD = Recommend
