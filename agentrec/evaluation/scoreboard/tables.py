"""Claims as Markdown tables: one row per claim, and below it the runs they rest on, folded away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from agentrec.evaluation.result import Estimate
from agentrec.evaluation.scoreboard.claim import Claim
from agentrec.evaluation.scoreboard.systems import Entry

COLUMNS = ("claim", "system", "measured", "against", "difference", "verdict", "date", "run")
ROOT = ".."  # from evals/README.md to the repository

Run = tuple[str, str, str, str]  # command, result folder, date, code


def claims_table(claims: Sequence[Claim], systems: Mapping[str, Entry]) -> str:
    """One row per claim.

    Args:
        claims: on the same data.
        systems: key -> entry, for every claim.
    """
    numbers = {run: number for number, run in enumerate(_runs(claims), 1)}
    return markdown_table(COLUMNS, [_row(claim, systems, numbers[_run(claim)]) for claim in claims])


def runs_list(claims: Sequence[Claim]) -> str:
    """The runs behind the claims, folded away: command, figures of every system, and what produced them."""
    shown = [_run_text(number, claim) for number, claim in enumerate(_runs(claims).values(), 1)]
    summary = "<summary>Runs: commands, and the figures of every system</summary>"
    return "\n\n".join(["<details>", summary, *shown, "</details>"])


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; cells are Markdown already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def link(text: str, target: str) -> str:
    """A link of Markdown."""
    return f"[{text}]({target})"


def number(value: float | None) -> str:
    """A number with four digits behind the point, or what shows its size.

    Example:
        >>> [number(0.07871), number(12345.6), number(0.00001), number(None)]
        ['0.0787', '12,346', '1e-05', 'none']
    """
    if value is None:
        return "none"
    if value and abs(value) < 5e-4:
        return f"{value:.2g}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _row(claim: Claim, systems: Mapping[str, Entry], run: int) -> list[str]:
    entry = systems[claim.system]
    return [
        link(claim.claim, f"results/{claim.name}.json"),
        f"{link(entry.name, f'{ROOT}/{entry.file}')}; {entry.source}",
        f"{claim.metric} {_estimate(claim.estimate)}{_between_seeds(claim, claim.label)}",
        _opponent(claim),
        _difference(claim),
        _verdict(claim),
        claim.date,
        str(run),
    ]


def _opponent(claim: Claim) -> str:
    if claim.against is None:
        return f"the bar {claim.bar}"
    figure = claim.figures[claim.against][claim.metric]
    return f"`{claim.against}` {_estimate(figure)}{_between_seeds(claim, claim.against)}"


def _difference(claim: Claim) -> str:
    if claim.comparison is None or claim.advantage is None:
        return ""
    difference, low, high = (
        f"{'' if value < 0 else '+'}{number(value)}".replace("-", "−") for value in claim.advantage
    )
    p = "p < 0.0001" if claim.comparison.holm < 1e-4 else f"p = {claim.comparison.holm:.4f}"
    return f"{difference} ({low} to {high}), {p}"


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{number(abs(value))}"


def _verdict(claim: Claim) -> str:
    text = f"**{claim.verdict}**"
    found = claim.comparison
    if found is not None and found.num_seeds > 1:
        agree = max(found.seeds_ahead, found.num_seeds - found.seeds_ahead)
        text += f", {agree} of {found.num_seeds} seeds agree"
    if claim.verdict == "flat" and found is not None and (found.units_needed or 0) > found.num_units:
        text += f"; a difference of this size needs about {found.units_needed:,} units"
    if claim.limit is not None:
        text += f"; partial: {claim.num_units:,} units drawn under a limit"
    return text


def _estimate(estimate: Estimate) -> str:
    text = number(estimate.mean)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({number(estimate.low)} to {number(estimate.high)})"


def _between_seeds(claim: Claim, label: str) -> str:
    """How far seeds lie apart; nothing for what has a single one."""
    deviation, seeds = claim.figures[label][claim.metric].deviation, claim.seeds.get(label, [])
    return "" if deviation is None else f", ± {number(deviation)} over {len(seeds)} seeds"


def _run(claim: Claim) -> Run:
    return claim.command, claim.result, claim.date, claim.code


def _runs(claims: Sequence[Claim]) -> dict[Run, Claim]:
    """Each run once, with the first claim that rests on it."""
    found: dict[Run, Claim] = {}
    for claim in claims:
        found.setdefault(_run(claim), claim)
    return found


def _run_text(place: int, claim: Claim) -> str:
    about = [claim.date, f"{claim.part} part" * bool(claim.part), f"{claim.num_units:,} units"]
    about += [f"drawn under a limit of {claim.limit:,}" if claim.limit is not None else ""]
    about += [f"{value} {name}" if isinstance(value, int) else str(value) for name, value in claim.machine.items()]
    about += [f"code {claim.code}"]
    about += [f"{name} {version}" for name, version in claim.versions.items()]
    facts = escape(", ".join(filter(None, about)), quote=False)
    return f"**Run {place}.** {facts}.\n\n```bash\n{claim.command}\n```\n\n{_figures_table(claim)}"


def _figures_table(claim: Claim) -> str:
    """All systems of a run, best first by its first metric."""
    first = claim.metrics[0]
    sign = 1 if first.better == "lower" else -1

    def place(label: str) -> tuple[bool, float, str]:
        mean = claim.figures[label].get(first.name, Estimate(None)).mean
        return mean is None, sign * (mean or 0.0), label

    rows = []
    for label in sorted(claim.figures, key=place):
        cells = [_figure(claim.figures[label].get(metric.name)) for metric in claim.metrics]
        seeds = ", ".join(str(seed) for seed in claim.seeds.get(label, []))
        rows.append([f"`{label}`", *cells, seeds])
    return markdown_table(["system", *(metric.name for metric in claim.metrics), "seeds"], rows)


def _figure(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    spread = "" if estimate.deviation is None else f" ± {number(estimate.deviation)}"
    return f"{_estimate(estimate)}{spread}"
