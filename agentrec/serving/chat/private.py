"""Blots out secrets and personal data before text is kept in a file.

Known by their form: keys and tokens of common services, values of environment variables that hold keys, passwords in
addresses, ``api_key=...`` and its like, e-mail addresses, international phone numbers, card numbers (Luhn), IBANs
(mod 97). It does not know the names and addresses of people: those are given as ``words``, or kept out of the text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

SECRET, PERSONAL = "[secret]", "[personal]"

NAMED = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
SHORTEST = 8  # shorter values of variables are no keys, and would blot out half a text

KEYS = re.compile(
    r"\b(?:sk-[\w-]{16,}|hf_\w{20,}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|xox[abprs]-[\w-]{10,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+)"
)
BEARER = re.compile(r"\b(Bearer|Basic)(\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
ASSIGNED = re.compile(
    r"\b((?:[\w-]*[_-])?(?:api[_-]?key|key|token|secret|password|passwd|authorization))\b([\"']?\s*[=:]\s*[\"']?)"
    r"(?=[^\s\"'&,;}]*[^\d\s.\"'&,;}\[])([^\s\"'&,;}\[]{6,})",
    re.IGNORECASE,
)
USERINFO = re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]+@")
EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
PHONE = re.compile(r"(?<![\w+])\+\d{1,3}(?:[ ().-]{0,2}\d){7,12}\b")
CARD = re.compile(
    r"(?<![\d.])(?:[3-6]\d{12,18}|[3-6]\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|3\d{3}([ -])\d{6}\2\d{5})(?![\d.])"
)
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")


def environment_secrets() -> tuple[str, ...]:
    """Values of environment variables whose names speak of keys, longest first."""
    found = {value for name, value in os.environ.items() if NAMED.search(name) and len(value) >= SHORTEST}
    return tuple(sorted(found, key=len, reverse=True))


def redact(text: str, words: Iterable[str] = ()) -> str:
    """The text without secrets and personal data.

    Args:
        text: any text; JSON stays JSON.
        words: further words that must not stay, such as names.

    Example:
        >>> redact("mail jane@example.org, key sk-abcdefghijklmnopqrst")
        'mail [personal], key [secret]'
    """
    for secret in environment_secrets():
        text = text.replace(secret, SECRET)
    text = BEARER.sub(rf"\1\2{SECRET}", KEYS.sub(SECRET, text))
    text = USERINFO.sub(rf"\1{SECRET}@", ASSIGNED.sub(rf"\1\2{SECRET}", text))
    for word in sorted((word for word in words if word), key=len, reverse=True):
        text = re.sub(re.escape(word), PERSONAL, text, flags=re.IGNORECASE)
    text = PHONE.sub(PERSONAL, EMAIL.sub(PERSONAL, text))
    return IBAN.sub(_if(_is_iban), CARD.sub(_if(_is_card), text))


def redact_all(content: Any, words: Iterable[str] = ()) -> Any:
    """The same for every text inside JSON content."""
    kept = tuple(words)
    if isinstance(content, dict):
        return {redact(str(name), kept): redact_all(value, kept) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [redact_all(value, kept) for value in content]
    return redact(content, kept) if isinstance(content, str) else content


def _if(check: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    return lambda match: PERSONAL if check(match[0]) else match[0]


def _is_card(text: str) -> bool:
    """Luhn's check."""
    digits = [int(sign) for sign in reversed(text) if sign.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """The check of ISO 13616: 1 modulo 97."""
    plain = text.replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1
