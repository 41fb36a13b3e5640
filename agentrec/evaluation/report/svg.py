"""What plots are made of: axes with round ticks, text that fits, and SVG elements as strings.

Elements carry classes, not colours: the page that shows them decides, and may be light or dark. Lengths are user
units; a plot is `WIDTH` of them wide, about the pixels of a phone.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from agentrec.evaluation.report.wording import is_number

WIDTH = 360.0
FONT = 12.0
TICKS = 5
WIDE = 20.0  # a range from 1 to 20 and beyond is drawn on a logarithmic scale


class Axis(NamedTuple):
    """A scale from values to places.

    Attributes:
        low: value at ``start``.
        high: value at ``end``; larger than ``low``.
        start: place in user units.
        end: place in user units; smaller than ``start`` for an axis that points up.
        log: logarithmic; both values are then positive.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value."""
        low, high, value = (math.log10(number) if self.log else number for number in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values on the axis, with their labels."""
        if self.log:
            return [(value, compact(value)) for value in self._log_ticks()]
        step = _round_step((self.high - self.low) / TICKS)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        values = [count * step for count in range(first, last + 1)]
        return [(value, compact(value) if abs(value) >= 10_000 else f"{value:.{digits}f}") for value in values]

    def _log_ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for leading in ((1, 2, 5), (1, 3), (1,)):
            values = [lead * 10.0**decade for decade in decades for lead in leading]
            found = [value for value in values if self.low <= value <= self.high]
            if len(found) <= TICKS + 1:
                return found
        return found[:: math.ceil(len(found) / TICKS)]


def axis(values: Sequence[float], start: float, end: float, *, log: bool = False) -> Axis:
    """A scale that holds all values with a margin; it begins at 0 where that is near, and never crosses it.

    Args:
        values: finite; positive for ``log``.
        start: place of the low end.
        end: place of the high end.
        log: logarithmic scale.
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if log:
        margin = (high / low) ** 0.08 if high > low else 2.0
        return Axis(low / margin, high * margin, start, end, log=True)
    if 0 <= low <= 0.6 * high:
        low, margins = 0.0, (0.0, 0.06)
    elif 0.6 * low <= high <= 0 and low < 0:
        high, margins = 0.0, (0.06, 0.0)
    else:
        margins = (0.06, 0.06)
    spread = high - low or abs(high) or 1.0
    return Axis(low - margins[0] * spread, high + margins[1] * spread, start, end)


def is_wide(values: Sequence[float]) -> bool:
    """Whether values ask for a logarithmic scale: all positive, and the largest many times the smallest."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= WIDE


def compact(value: float) -> str:
    """A short label: ``0.002``, ``50``, ``12k``, ``3M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(lead * power for lead in (1, 2, 5, 10) if lead * power >= rough * (1 - 1e-9))


def text_width(text: str, size: float = FONT) -> float:
    """An estimate of how wide a text is set, rather too wide than too narrow."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return size * (0.58 * (len(text) - wide) + 1.05 * wide)


def shortened(text: str, width: float, size: float = FONT) -> str:
    """The text, or as much of it as fits, with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    kept = text
    while kept and text_width(f"{kept}…", size) > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def element(tag: str, content: str = "", **attributes: str | float) -> str:
    """One element; ``content`` is markup, attribute values are escaped, ``class_`` and ``a_b`` stand for ``a-b``."""
    written = "".join(f' {_name(name)}="{_value(value)}"' for name, value in attributes.items())
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def label(text: str, x: float, y: float, anchor: str = "start", class_: str = "") -> str:
    """Text at a place; its baseline is a little below ``y``, so that it is centred there."""
    attributes = {"class_": class_} if class_ else {}
    return element("text", html.escape(text), x=x, y=y + 4, text_anchor=anchor, **attributes)


def picture(parts: Sequence[str], height: float, alt: str) -> str:
    """A whole ``<svg>`` with a text for those who do not see it."""
    box = f"0 0 {WIDTH:g} {height:g}"
    return element("svg", "".join(parts), viewBox=box, role="img", aria_label=alt, font_size=FONT)


def _name(name: str) -> str:
    return name if name == "viewBox" else name.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return html.escape(value)
    assert is_number(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")
