"""What checks report: every kind of problem once, with how often it occurs, examples and a remedy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from agentrec.core.errors import AgentrecError, DataError
from agentrec.core.types import JSON

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One kind of problem.

    Attributes:
        kind: a short name, for programs.
        severity: ``"error"`` or ``"warning"``.
        text: what was found, how often.
        examples: up to three.
        remedy: what was expected, and what to do.
        count: how often.
    """

    kind: str
    severity: Severity
    text: str
    examples: tuple[str, ...]
    remedy: str
    count: int

    def sentence(self) -> str:
        """The problem in one sentence."""
        shown = f", for example {', '.join(self.examples)}" if self.examples else ""
        return f"{self.text}{shown}; {self.remedy}"


@dataclass(frozen=True)
class Report:
    """All problems of one thing.

    Attributes:
        subject: what was checked: a path, or a recommender's name.
        problems: errors first.
        raises: the type of error that `raise_if_errors` raises.
    """

    subject: str
    problems: tuple[Problem, ...]
    raises: type[AgentrecError] = DataError

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What would make results wrong."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What may be meant."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def to_text(self) -> str:
        """One line per problem, under a line that counts them."""
        counted = f"{self.subject}: {many(len(self.errors), 'error')}, {many(len(self.warnings), 'warning')}"
        return "\n".join([counted, *(f"  {found.severity}: {found.sentence()}" for found in self.problems)])

    def to_json(self) -> JSON:
        """The same for programs."""
        return {"subject": self.subject, "problems": [asdict(problem) for problem in self.problems]}

    def raise_if_errors(self) -> None:
        """Raise one error that names every problem of severity error.

        Raises:
            DataError: for files.
            RecommenderError: for recommenders.
        """
        errors = self.errors
        if len(errors) == 1:
            raise self.raises(f"{self.subject} {errors[0].sentence()}")
        if errors:
            listed = ". ".join(f"({number}) {found.sentence()}" for number, found in enumerate(errors, 1))
            raise self.raises(f"{self.subject} has {len(errors)} problems: {listed}")


def many(count: int, what: str) -> str:
    """A count with its noun: ``1 user``, ``3 users``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
