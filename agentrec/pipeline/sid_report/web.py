"""A template and its data as one self-contained web page.

The page loads nothing: style and script stand inside, and a content security policy made of their hashes forbids
everything else. Every text is escaped unless it is marked as markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrec.evaluation.report.page import FOLDER as REPORT

HERE = Path(__file__).parent


def render(template: Path, content: Mapping[str, Any], script: str = "") -> str:
    """Fill a template in.

    Args:
        template: a Jinja file; it gets ``style``, ``script`` and ``policy`` beside the content.
        content: texts, numbers, and markup as `markupsafe.Markup`.
        script: JavaScript, or nothing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style = "".join(path.read_text(encoding="utf-8") for path in (REPORT / "report.css", HERE / "sids.css"))
    options: dict[str, Any] = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True}
    environment = Environment(loader=FileSystemLoader([template.parent, HERE]), lstrip_blocks=True, **options)
    sources = f"style-src {_source(style)}" + (f"; script-src {_source(script)}" if script else "")
    return environment.get_template(template.name).render(
        {**content, "style": Markup(style), "script": Markup(script), "policy": f"default-src 'none'; {sources}"}
    )


def _source(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
