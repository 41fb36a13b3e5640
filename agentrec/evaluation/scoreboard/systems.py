"""What the toolkit implements: ``evals/systems.yaml``, one entry per system, checked against the repository.

An entry names the paper, the file and the tests that prove it; results of ``evals/results`` refer to it by its key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentrec.core.config import from_mapping, read_yaml, setting
from agentrec.core.errors import ConfigError

SYSTEMS = "evals/systems.yaml"


@dataclass(frozen=True)
class Entry:
    """One system.

    Attributes:
        name: as people say it.
        what: one line.
        file: where it is implemented, relative to the repository.
        proof: what its tests prove, one line.
        tests: files of them, relative to the repository.
        arxiv: number of the paper, empty for our own.
        paper: its title and what differs, or whose it is.
        unmeasured: why no claim is recorded; empty where there must be one.
    """

    name: str = setting("", "as people say it")
    what: str = setting("", "one line")
    file: str = setting("", "where it is implemented")
    proof: str = setting("", "what its tests prove")
    tests: tuple[str, ...] = setting((), "files of them")
    arxiv: str = setting("", "number of the paper")
    paper: str = setting("ours", "title of the paper")
    unmeasured: str = setting("", "why no claim is recorded")

    @property
    def source(self) -> str:
        """The paper as Markdown."""
        return f"[{self.paper}](https://arxiv.org/abs/{self.arxiv})" if self.arxiv else self.paper


def read_systems(root: Path) -> dict[str, Entry]:
    """Key -> entry, in the order of the file.

    Args:
        root: of the repository.

    Raises:
        ConfigError: the file is missing, or an entry lacks a part or holds an unknown one.
    """
    found = {}
    for key, content in read_yaml(root / SYSTEMS).items():
        if not isinstance(content, Mapping):
            raise ConfigError(f"{SYSTEMS}: {key!r} holds {content!r}; expected a mapping of settings")
        values = {**content, "tests": tuple(content.get("tests") or ())}
        entry = from_mapping(Entry, values)
        absent = [name for name in ("name", "what", "file", "proof", "tests", "paper") if not getattr(entry, name)]
        if absent:
            raise ConfigError(f"{SYSTEMS}: {key!r} lacks {absent[0]!r}; expected it beside the others, so add it")
        found[str(key)] = entry
    return found


def absent_files(systems: Mapping[str, Entry], root: Path) -> Iterator[str]:
    """One sentence per file that an entry names and the repository lacks."""
    for key, entry in systems.items():
        for path in (entry.file, *entry.tests):
            if not (root / path).is_file():
                yield f"{SYSTEMS}: {key!r} names {path}, which does not exist; correct the path"
