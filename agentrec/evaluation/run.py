"""Run a task: every system at every seed is measured once, kept in a store, and merged into one result.

Work is shared by locks alone. Every process walks over all measurements that are due, takes those that nobody holds,
and in the end waits for those that others hold; so parallel processes here (``jobs``) and the same command on several
machines that see one store divide the work, whichever of them dies.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from agentrec.core.config import from_mapping
from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.core.files import as_json, json_hash
from agentrec.core.provenance import code_hash
from agentrec.core.types import JSON
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.merge import Resampling, merge
from agentrec.evaluation.result import FILES, RESULT, Result
from agentrec.evaluation.store import Store
from agentrec.evaluation.task import Task
from agentrec.evaluation.tasks import load_task


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
        task: name of a task, or the path of its file.
        values: settings of the task.
        seeds: of the systems that have one.
        store: folder of measurements and results.
        nonce: names this run for systems whose earlier measurements must not be taken; empty to take them.
    """

    task: str
    values: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    store: Path = Path("runs/evals")
    nonce: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", Path(self.store))
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"seeds are {self.seeds}; expected distinct numbers of 0 or more")


class Due(NamedTuple):
    """One measurement: which system, which seed, and the key it is kept under.

    ``latest`` is the key under which a later run finds it if it takes earlier measurements of what is not reusable;
    empty where ``key`` says it all.
    """

    label: str
    seed: int
    key: str
    latest: str = ""


class Outcome(NamedTuple):
    """A result and the folder that holds it."""

    result: Result
    folder: Path


@dataclass(frozen=True, eq=False)
class Plan:
    """A task with its settings, and every measurement it needs."""

    order: Order
    name: str
    config: JSON
    task: Task
    due: tuple[Due, ...]

    @classmethod
    def of(cls, order: Order) -> Plan:
        """Read the task, fill its settings in and name every measurement.

        Raises:
            AgentrecError: whatever is wrong with the task, its settings or its data.
        """
        file = load_task(order.task)
        config = from_mapping(file.config, order.values)
        built = file(config)
        source = json_hash(file.path.read_text(encoding="utf-8"))
        asked = [built.units["unit"].tolist(), [metric.name for metric in built.metrics]]
        shared = [file.name, source, code_hash(), built.data, built.settings, *asked]
        due = tuple(_all_due(built, order, json_hash(shared)))
        return cls(order, file.name, as_json(asdict(config)), built, due)

    def key(self, resampling: Resampling) -> str:
        """Names the result: equal keys, equal results."""
        slices = [self.task.units[name].astype(str).tolist() for name in self.task.slices]
        return json_hash([self.name, [list(due) for due in self.due], slices, asdict(resampling)])


def _all_due(task: Task, order: Order, shared: str) -> Iterator[Due]:
    for label, system in task.systems.items():
        seeded = system.seeded or task.nested
        for seed in order.seeds if seeded else order.seeds[:1]:
            about = [shared, system.identity, seed if seeded else None]
            if system.reusable or not order.nonce:
                yield Due(label, seed, json_hash(about))
            else:
                yield Due(label, seed, json_hash([*about, order.nonce]), latest=json_hash(about))


def run_task(
    order: Order,
    *,
    jobs: int = 1,
    resampling: Resampling | None = None,
    out: str | Path | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Measure what is due, merge, and save the result.

    Args:
        order: what to run.
        jobs: how many processes measure at once.
        resampling: of the intervals.
        out: folder of the result; by default one inside the store, named by task and content.
        progress: show bars on stderr.
        say: told one line per measurement.

    Raises:
        AgentrecError: settings are wrong, or a system could not be measured; all other measurements are kept.
    """
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}; expected at least 1")
    resampling = resampling or Resampling()
    plan = Plan.of(order)
    folder = Path(out) if out is not None else order.store / f"{plan.name}-{plan.key(resampling)[:8]}"
    _check_folder(folder)
    store = Store(order.store)
    new = [due for due in plan.due if not store.folder(due.key).is_dir()]
    for label in dict.fromkeys(due.label for due in new):
        check = plan.task.systems[label].check
        if check is not None:
            check()
    jobs = min(jobs, len({due.key for due in new}))
    if jobs > 1:
        _measure_in_parallel(plan, jobs)
    rank = int(os.environ.get("RANK", "0"))  # set by launchers such as `accelerate launch`
    measured = measure_due(plan, wait=True, start=rank, progress=progress, say=say)
    known = {"task": {"name": plan.name, "config": plan.config}, "code": code_hash(), "resampling": asdict(resampling)}
    result = merge(plan.name, plan.task, measured, resampling=resampling, provenance=known)
    if plan.task.digest is not None:
        result = replace(result, digest=as_json(plan.task.digest(result)))
    return Outcome(result, result.save(folder))


def measure_due(
    plan: Plan,
    *,
    wait: bool,
    start: int = 0,
    progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[int, Measured]]:
    """Measure whatever is due and nobody else measures; with ``wait``, end with every measurement in hand.

    Args:
        plan: what is due.
        wait: for measurements that other processes hold.
        start: where the walk begins, so that processes do not all ask for the same measurement first.
        progress: show bars on stderr.
        say: told one line per measurement.

    Returns:
        system -> seed -> measurement.

    Raises:
        AgentrecError: a system failed; the others were measured and kept before it is raised.
    """
    store = Store(plan.order.store)
    found: dict[Due, Measured] = {}
    failed: dict[Due, AgentrecError] = {}
    start %= len(plan.due)
    walk = [*plan.due[start:], *plan.due[:start]]
    for patient in (False, True) if wait else (False,):
        for due in walk:
            if due in found or due in failed:
                continue
            try:
                measured = _one(store, plan, due, wait=patient, progress=progress, say=say)
            except AgentrecError as error:
                failed[due] = error
                continue
            if measured is not None:
                found[due] = measured
    if failed:
        due, first = next(iter(failed.items()))
        raise type(first)(f"{due.label} (seed {due.seed}): {first}{_others(failed, found)}") from first
    by_label: dict[str, dict[int, Measured]] = {}
    for due in plan.due:
        if due in found:
            by_label.setdefault(due.label, {})[due.seed] = found[due]
    return by_label


def _one(
    store: Store, plan: Plan, due: Due, *, wait: bool, progress: bool, say: Callable[[str], None]
) -> Measured | None:
    kept = store.get(due.key)
    if kept is not None:
        say(f"{due.label}, seed {due.seed}: kept from before")
        return kept
    with store.claim(due.key, wait=wait) as mine:
        if not mine:
            return None
        if (kept := store.get(due.key)) is not None:
            return kept
        say(f"{due.label}, seed {due.seed}: measuring")
        system = plan.task.systems[due.label].make(due.seed)
        measured = plan.task.measure(system, progress=progress).checked(plan.task.units["unit"], due.label)
        store.put(due.key, measured)
        if due.latest:
            store.put(due.latest, measured)
        return measured


def _others(failed: Mapping[Due, AgentrecError], found: Mapping[Due, Measured]) -> str:
    more = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
    return f"{more}; what was measured ({len(found)}) is kept, and the next run takes it from there" if found else more


def _measure_in_parallel(plan: Plan, jobs: int) -> None:
    """Let processes measure until nothing is free; what fails is met again, and reported, by the caller.

    Raises:
        AgentrecError: a process died.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_limit_threads, initargs=(threads,)) as pool:
        try:
            for future in [pool.submit(_walk, plan.order, rank) for rank in range(jobs)]:
                future.result()
        except BrokenProcessPool as error:
            raise AgentrecError(
                f"one of {jobs} measuring processes died, perhaps for lack of memory; what was measured is kept, so "
                "run again with fewer jobs"
            ) from error


def _limit_threads(threads: int) -> None:
    """In a fresh process, before torch is loaded: share the cores among all processes."""
    from threadpoolctl import threadpool_limits

    os.environ.update({name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")})
    threadpool_limits(threads)


def _walk(order: Order, rank: int) -> None:
    try:
        measure_due(Plan.of(order), wait=False, start=rank)
    except AgentrecError:
        return  # the caller meets the same error, with nothing lost


def parse_seeds(text: str) -> tuple[int, ...]:
    """``"3"`` -> (0, 1, 2); ``"4,7"`` -> (4, 7); ``"4,"`` -> (4,).

    Raises:
        ConfigError: it is neither.
    """
    parts = [part.strip() for part in text.split(",")]
    kept = [part for part in parts if part]
    if not kept or not all(part.isdecimal() for part in kept) or (len(parts) == 1 and int(text) < 1):
        raise ConfigError(f"seeds are {text!r}; expected how many, such as 3, or which, such as 0,1,5")
    return tuple(range(int(text))) if len(parts) == 1 else tuple(int(part) for part in kept)


def _check_folder(folder: Path) -> None:
    """Refuse a folder of other files before anything is measured; what a killed run left of a result is none."""
    ours = re.compile(rf"({'|'.join(map(re.escape, FILES))})|\.({'|'.join(map(re.escape, FILES))})\..*")
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    if folder.is_file() or not (RESULT in names or all(ours.fullmatch(name) for name in names)):
        raise AgentrecError(
            f"{folder} exists and holds no result; expected a new or empty folder or an older result, so choose another"
        )
