"""Which column of a table means what: given by the user, else recognised by its usual names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import DataError

# Compared in lower case without punctuation, so that "userId", "user_id" and "User ID" are one name; first come, first
# chosen.
USUAL_NAMES = {
    "user": ("userid", "user", "reviewerid", "uid", "customerid", "customer", "visitorid", "memberid", "sessionid"),
    "item": ("itemid", "item", "movieid", "parentasin", "asin", "productid", "product", "iid", "articleid", "sku",
             "bookid", "trackid", "songid", "newsid", "isbn"),
    "timestamp": ("timestamp", "unixreviewtime", "time", "datetime", "date", "ts", "createdat", "eventtime"),
    "order": ("order", "position", "pos", "step", "rank", "sequence"),
    "rating": ("rating", "overall", "stars", "score"),
    "title": ("title", "name", "itemname", "productname", "producttitle", "movietitle"),
}  # fmt: skip
# Columns of an items table that name or link an item and say nothing about it.
NO_TEXT = frozenset(
    {"asin", "parentasin", "isbn", "url", "imurl", "imageurl", "image", "images", "link", "imdbid", "tmdbid"}
)


@dataclass(frozen=True)
class Columns:
    """The names of columns; None looks for a usual name."""

    user: str | None = setting(None, "column of user ids")
    item: str | None = setting(None, "column of item ids, in the interactions and in the items table")
    timestamp: str | None = setting(None, "column of times: numbers or ISO dates")
    order: str | None = setting(None, "column of whole numbers that order a user's rows, where there are no times")
    rating: str | None = setting(None, "column of ratings; an empty string ignores ratings")
    title: str | None = setting(None, "column of the items table that holds the title")
    texts: str | None = setting(None, "columns of the items table to keep, comma-separated; default: all with text")


def to_columns(columns: Columns | Mapping[str, str] | None) -> Columns:
    """Accept `Columns`, a mapping of its fields, or nothing.

    Raises:
        ConfigError: a key is unknown.
    """
    if isinstance(columns, Columns):
        return columns
    return from_mapping(Columns, columns or {})


def plain_name(name: str) -> str:
    """A column name in lower case without punctuation."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def find_column(existing: Sequence[str], role: str, asked: str | None, where: str) -> str | None:
    """Find the column of one role.

    Args:
        existing: the columns of the table.
        role: a key of `USUAL_NAMES`.
        asked: the user's own choice.
        where: what messages call the table.

    Returns:
        The column's name, or None where nothing was asked for and no usual name is there.

    Raises:
        DataError: the asked column does not exist, or two columns have the same usual name.
    """
    if asked:
        if asked not in existing:
            raise DataError(
                f"{where} has no column {asked!r} for the {role}; those that exist are {_listed(existing)}, so name one"
            )
        return asked
    for usual in USUAL_NAMES[role]:
        found = [name for name in existing if plain_name(name) == usual]
        if len(found) > 1:
            raise DataError(f"{where} has {_listed(found)} for the {role}; expected one, so say which is meant")
        if found:
            return found[0]
    return None


def need_column(existing: Sequence[str], role: str, asked: str | None, where: str) -> str:
    """As `find_column`, for a role that must be there.

    Raises:
        DataError: no column has that role.
    """
    found = find_column(existing, role, asked, where)
    if found is None:
        raise missing_column(existing, role, where)
    return found


def missing_column(existing: Sequence[str], role: str, where: str) -> DataError:
    """The error for a role that no column has."""
    return DataError(
        f"{where} has no column for the {role}; those that exist are {_listed(existing)}, so rename one or name it "
        f"(columns={{{role.partition(' ')[0]!r}: ...}}, or --{role.partition(' ')[0]}-column)"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
