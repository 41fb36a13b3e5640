"""What a check for leaks found: counts, a severity, and examples in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agentrec.core.types import JSON

Severity = Literal["leak", "warning", "info"]

EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        about: what was checked, in words.
        checked: how many rows (interactions, users or items).
        violations: how many of them violate it.
        severity: what a violation is; without violations it says what one would have been.
        meaning: what violations mean for results, and the remedy.
        examples: at most five of them in words, with the source's own ids.
        facts: further numbers, JSON.
    """

    check: str
    about: str
    checked: int
    violations: int
    severity: Severity
    meaning: str
    examples: tuple[str, ...] = ()
    facts: JSON = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Violations per row checked; 0 where nothing was checked."""
        return self.violations / self.checked if self.checked else 0.0

    @property
    def is_leak(self) -> bool:
        """Whether a leak was found."""
        return self.severity == "leak" and self.violations > 0

    def sentence(self) -> str:
        """The finding in one line."""
        shown = f" ({self.examples[0]})" if self.examples else ""
        return f"{self.check}: {self.violations} of {self.checked} {self.about}{shown}; {self.meaning}"
