"""The page: all tabs of the folder registry in one Gradio app, in the look of the machine it is seen on."""

from __future__ import annotations

from typing import Any, Protocol

import gradio as gr

from agentrec.core.registry import Registry
from agentrec.ui.client import ServiceClient

TABS = Registry("agentrec.ui.tabs")
TITLE = "agentrec"


class Tab(Protocol):
    """One workflow.

    Attributes:
        title: what the tab is called.
        order: tabs with smaller numbers come first.
    """

    title: str
    order: int

    def build(self, client: ServiceClient) -> None:
        """Add the components and what they do, inside the tab."""


def build_page(client: ServiceClient) -> Any:
    """Put the page together.

    Args:
        client: of the service.

    Returns:
        Gradio's `Blocks`.
    """
    tabs: list[Tab] = sorted((TABS.load(name)() for name in TABS.names()), key=lambda tab: (tab.order, tab.title))
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        for tab in tabs:
            with gr.Tab(tab.title):
                tab.build(client)
    return page


def look() -> dict[str, Any]:
    """Theme and style: system fonts only, because others would be fetched."""
    fonts = ["system-ui", "sans-serif"]
    return {"theme": gr.themes.Base(font=fonts, font_mono=["ui-monospace", "monospace"]), "css": STYLE}


STYLE = """
.found table { width: 100%; border-collapse: collapse; }
.found td, .found th { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; }
.found tr + tr td { border-top: 1px solid var(--border-color-primary); }
.found td.score { font-variant-numeric: tabular-nums; white-space: nowrap; }
.found code { font-family: var(--font-mono); white-space: nowrap; }
.found small { display: block; color: var(--body-text-color-subdued); }
"""
