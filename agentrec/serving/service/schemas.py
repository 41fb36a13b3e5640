"""What goes over the wire: requests are strict, unknown fields are refused, and a field stands only where it counts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator


def _whole(value: Any) -> Any:
    """605.0 is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(_whole)]
ItemId = Annotated[str, Field(min_length=1, max_length=512)]
NAME: dict[str, Any] = {
    "pattern": r"^[\p{L}\p{N}_][\p{L}\p{N}_.:=/]*$",
    "not": {"const": "all"},
}
EXPRESSION: dict[str, Any] = {"format": "set-expression"}
SetName = Annotated[
    str, Field(min_length=1, max_length=100, description="Name of a constraint set.", json_schema_extra=NAME)
]

NOT_GIVEN = -1

ONE_SOURCE: dict[str, Any] = {"oneOf": [{"required": ["history"]}, {"required": ["user_id"]}]}
ONE_KIND: dict[str, Any] = {
    "oneOf": [{"required": ["items"]}, {"required": ["expression"]}, {"required": ["column", "values"]}],
    "dependentRequired": {"column": ["values"], "values": ["column"]},
}


class Strict(BaseModel):
    """Base of requests."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _asked(schema: dict[str, Any]) -> None:
    """One source, and no default on the wire for fields whose default stands for "not given"."""
    for name in ("history", "user_id", "num_beams", "seed"):
        schema["properties"].get(name, {}).pop("default", None)
    schema |= ONE_SOURCE


class Asked(Strict):
    """What both modes ask."""

    model_config = ConfigDict(json_schema_extra=_asked)

    history: list[ItemId] = Field(default_factory=list, min_length=1, description="Item ids, oldest first.")
    user_id: str = Field("", min_length=1, max_length=512, description="A user of the data set, in place of a history.")
    n: Integer = Field(10, ge=1, description="How many items.")
    constraint: str = Field(
        "",
        max_length=1000,
        description="A set's name, or an expression such as `in_stock - old`.",
        json_schema_extra=EXPRESSION,
    )
    exclude: list[ItemId] = Field(default_factory=list, max_length=1000, description="Items that must not come back.")
    exclude_seen: bool = Field(False, description="Leave the history's own items out.")
    explain: bool = Field(False, description="Say what every item shares with the history.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if len({"history", "user_id"} & self.model_fields_set) != 1:
            raise ValueError("expected either history or user_id, so give one of them")
        return self


class DirectRequest(Asked):
    """Items by beam search."""

    mode: Literal["direct"] = "direct"
    num_beams: Integer = Field(NOT_GIVEN, ge=1, description="Beam width, at least n.")


class ThinkRequest(Asked):
    """Text first, then items."""

    mode: Literal["think"]
    max_tokens: Integer = Field(256, ge=1, description="Tokens of text at most.")
    temperature: float = Field(0.0, ge=0.0, le=10.0, description="0 takes the likeliest token every time.")
    seed: Integer = Field(NOT_GIVEN, ge=0, le=2**31 - 1, description="Of sampling.")


def _mode(value: Any) -> str:
    found = value.get("mode", "direct") if isinstance(value, dict) else getattr(value, "mode", "direct")
    return found if isinstance(found, str) else "direct"


RecommendationRequest = Annotated[
    Annotated[DirectRequest, Tag("direct")] | Annotated[ThinkRequest, Tag("think")], Discriminator(_mode)
]


class SetContent(Strict):
    """Which items a constraint set holds: a list, an expression over other sets, or values of a catalogue's column."""

    model_config = ConfigDict(json_schema_extra=ONE_KIND)

    items: list[ItemId] = Field(default_factory=list, description="Item ids.")
    expression: str = Field(
        "", min_length=1, max_length=1000, description="Evaluated once, now.", json_schema_extra=EXPRESSION
    )
    column: str = Field("", min_length=1, max_length=200, description="A column of the catalogue.")
    values: list[str] = Field(default_factory=list, min_length=1, max_length=1000, description="Values in that column.")
    may_be_empty: bool = Field(False, description="Keep a set without items, for expressions that subtract it.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = {"items", "expression", "column", "values"} & self.model_fields_set
        if given not in ({"items"}, {"expression"}, {"column", "values"}):
            raise ValueError("expected either items, or an expression, or a column with values, so give one of them")
        return self


class NamedSet(SetContent):
    """A constraint set with its name."""

    name: SetName


class Shared(BaseModel):
    """The item of a history that is nearest by semantic ID."""

    id: str
    title: str
    levels: int = Field(description="Leading codes in common.")


class Step(BaseModel):
    """One code of a semantic ID."""

    token: str
    items: int = Field(description="Items of the catalogue whose IDs begin like this up to here.")


class Explanation(BaseModel):
    """What a recommended item has in common with the history, and how its semantic ID narrows the catalogue."""

    path: list[Step]
    nearest: Shared | None = Field(description="None where no item of the history shares the first code.")


class Item(BaseModel):
    """A recommended item."""

    id: str
    title: str
    score: float | None = Field(description="Log-probability of the semantic ID; null in think mode.")
    sid: list[str] = Field(description="Semantic ID, coarse to fine.")
    explanation: Explanation | None = None


class Timings(BaseModel):
    """Milliseconds."""

    engine_ms: float
    total_ms: float


class Usage(BaseModel):
    """Tokens."""

    prompt_tokens: int
    generated_tokens: int


class RecommendationResponse(BaseModel):
    """Items, best first; fewer than asked for where the set ran out of items."""

    items: list[Item]
    constraint: str
    mode: Literal["direct", "think"]
    text: str | None = Field(description="What the model thought; null in direct mode.")
    timings: Timings
    usage: Usage


class SetSize(BaseModel):
    """A constraint set."""

    name: str
    items: int


class SetList(BaseModel):
    """All constraint sets."""

    sets: list[SetSize]


class FoundItem(BaseModel):
    """An item of the catalogue."""

    id: str
    title: str
    sid: list[str]


class FoundItems(BaseModel):
    """Items that fit a search, best first."""

    items: list[FoundItem]


class Health(BaseModel):
    """State of the service."""

    status: str
    engine: str


class Failure(BaseModel):
    """Every error: one sentence with the thing, the value found, what was expected, and the remedy."""

    error: str
