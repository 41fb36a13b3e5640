"""Generated parts of files that people write: what stands between two comments belongs to the generator.

::

    <!-- scoreboard:papers -->
    ... replaced ...
    <!-- /scoreboard:papers -->
"""

from __future__ import annotations

from pathlib import Path

from agentrec.core.errors import ConfigError
from agentrec.core.files import whole_file


def replace_between(text: str, section: str, content: str) -> str:
    """The text with another content between the markers of a section; everything else stays to the byte.

    Args:
        text: holds the markers of the section, each once and on a line of its own.
        section: its name, such as ``scoreboard:papers``.
        content: Markdown; blank lines are set around it.

    Raises:
        ConfigError: the markers are absent, repeated or in the wrong order.

    Example:
        >>> print(replace_between("a\\n<!-- s -->\\nold\\n<!-- /s -->\\nb", "s", "new"))
        a
        <!-- s -->
        <BLANKLINE>
        new
        <BLANKLINE>
        <!-- /s -->
        b
    """
    opening, closing = f"<!-- {section} -->", f"<!-- /{section} -->"
    lines = text.splitlines(keepends=True)
    places = [[row for row, line in enumerate(lines) if line.strip() == marker] for marker in (opening, closing)]
    if [len(rows) for rows in places] != [1, 1] or places[0] >= places[1]:
        raise ConfigError(
            f"the markers of {section!r} stand {len(places[0])} and {len(places[1])} times; expected a line {opening} "
            f"and below it a line {closing}, each once"
        )
    (start,), (end,) = places
    return "".join([*lines[: start + 1], f"\n{content.strip()}\n\n", *lines[end:]])


def write_between_markers(path: str | Path, section: str, content: str) -> bool:
    """Replace a section of a file, and say whether that changed anything.

    Raises:
        ConfigError: the file is missing, or its markers are absent, repeated or in the wrong order.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected a text file with the markers of {section!r}")
    with path.open(encoding="utf-8", newline="") as file:
        old = file.read()
    try:
        new = replace_between(old, section, content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if new != old:
        with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(new)
    return new != old
