"""Expressions over named sets, such as ``in_stock & (fresh | new) - seen``: a small grammar, and nothing is executed.

As in Python, ``~`` binds closest, then ``-``, then ``&``, then ``|``, and what binds equally is read from the left. A
name consists of letters, digits and ``_ . : = /``, and begins with a letter, a digit or ``_``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agentrec.core.errors import ConfigError

LONGEST = 1000  # characters of an expression
BINDS = {"|": 1, "&": 2, "-": 3, "~": 4}
NAME = re.compile(r"\w[\w.:=/]*")
TOKEN = re.compile(rf"\s*({NAME.pattern}|[-&|~()])")

Postfix = tuple[str, ...]


@lru_cache(maxsize=1024)
def parse(text: str) -> Postfix:
    """An expression in postfix order: names, and operators behind what they apply to.

    Raises:
        ConfigError: it is malformed or too long; the message says where.

    Example:
        >>> parse("in_stock & fresh - seen")
        ('in_stock', 'fresh', 'seen', '-', '&')
    """
    if len(text) > LONGEST:
        raise ConfigError(f"the set expression has {len(text)} characters; expected at most {LONGEST}")
    found: list[str] = []
    waiting: list[str] = []
    operand = False  # whether one was just read
    at = 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        token = match[1] if match else ""
        begins = token in ("(", "~") or (token not in BINDS and token != ")")
        if match is None or operand == begins:
            raise _malformed(text, at, "an operator (& | -) or the end" if operand else "the name of a set")
        if token not in (*BINDS, "(", ")"):
            found.append(token)
        else:
            _shift(token, waiting, found)
            if token == ")" and not waiting:
                raise _malformed(text, at, "a ( for every )")
            if token == ")":
                waiting.pop()
            else:
                waiting.append(token)
        operand = token not in BINDS and token != "("
        at = match.end()
    if not operand:
        raise _malformed(text, len(text), "the name of a set")
    if "(" in waiting:
        raise _malformed(text, len(text), "a ) for every (")
    return (*found, *reversed(waiting))


def _shift(token: str, waiting: list[str], found: list[str]) -> None:
    """Move the operators that bind at least as closely as a new one; what stands before its operand moves none."""
    while token not in ("~", "(") and waiting and waiting[-1] != "(" and BINDS[waiting[-1]] >= BINDS.get(token, 0):
        found.append(waiting.pop())


def _malformed(text: str, at: int, expected: str) -> ConfigError:
    rest = text[at:].strip()
    found = repr(rest[:20]) if rest else "the end"
    return ConfigError(f"the set expression {text[:80]!r} has {found} at character {at + 1}; expected {expected}")


def names(postfix: Postfix) -> set[str]:
    """The names of an expression."""
    return {token for token in postfix if token not in BINDS}


def evaluate(postfix: Postfix, sets: Mapping[str, Any], everything: Any) -> Any:
    """The set that an expression describes.

    Args:
        postfix: from `parse`.
        sets: per name, bits: a whole number, or an array of them.
        everything: the bits of all that exists, for ``~``.

    Example:
        >>> bin(evaluate(parse("a & ~b"), {"a": 0b0110, "b": 0b0011}, 0b1111))
        '0b100'
    """
    stack: list[Any] = []
    for token in postfix:
        if token not in BINDS:
            stack.append(sets[token])
            continue
        last = stack.pop()
        if token == "~":
            stack.append(everything & ~last)
        elif token == "-":
            stack.append(stack.pop() & ~last)
        else:
            stack.append(stack.pop() & last if token == "&" else stack.pop() | last)
    return stack[-1]
