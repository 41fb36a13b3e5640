"""Run a recipe: data, semantic IDs, recommenders, evaluation, report; every step an artefact in one folder.

A step is done again only when its settings or what it builds on changed, so a killed run goes on where it stopped (and
training inside its last checkpoint). ``steps.json`` keeps the key each finished step was made under.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from agentrec.core.artefact import plain
from agentrec.core.config import from_mapping
from agentrec.core.errors import ConfigError
from agentrec.core.files import json_hash, read_json, write_json
from agentrec.core.protocols import Recommender
from agentrec.core.provenance import code_hash
from agentrec.core.types import Catalogue, Histories
from agentrec.data.dataset import Dataset
from agentrec.data.given import Benchmark
from agentrec.data.kcore import k_core
from agentrec.data.load import load_dataset
from agentrec.data.split import Split, global_time, leave_one_out
from agentrec.data.tca4rec import load_tca4rec
from agentrec.evaluation.ranking import evaluate
from agentrec.evaluation.result import Result
from agentrec.pipeline.collaborative import identity
from agentrec.pipeline.recipe import GENERATIVE, ORACLE, Method, Recipe, Sids
from agentrec.pipeline.row_settings import check_rows
from agentrec.pipeline.semantic_ids import fit_semantic_ids, import_semantic_ids
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.load import load_recommender

STEPS = "steps.json"


class Shown(NamedTuple):
    """One user's recommendations in words.

    Attributes:
        user: the user's id.
        history: titles, oldest first.
        recommended: (title, score), best first.
    """

    user: str
    history: list[str]
    recommended: list[tuple[str, float]]


class Outcome(NamedTuple):
    """What a run leaves."""

    result: Result
    report: Path
    shown: Shown | None


SPLITS = {"leave_one_out": leave_one_out, "global_time": global_time}


@dataclass(frozen=True)
class Run:
    """A recipe being run in a folder.

    Attributes:
        recipe: what to do.
        out: folder of its steps.
        progress: show bars on stderr.
        say: told one line per step.
        home: folder in which a row that teaches is trained, by its label; by default ``out``.
    """

    recipe: Recipe
    out: Path
    progress: bool = False
    say: Callable[[str], None] = lambda _: None
    home: Callable[[str], Path] | None = None

    def step(self, name: str, key: Any, make: Callable[[Path], None]) -> Path:
        """Make a folder by ``make`` unless the one that lies there was made under the same key."""
        folder, done = self.out / name, self._done()
        if done.get(name) == json_hash(key) and folder.is_dir():
            self.say(f"{name}: kept, nothing changed")
            return folder
        self.say(f"{name}: working")
        start = time.perf_counter()
        make(folder)
        self.say(f"{name}: done in {time.perf_counter() - start:.0f} s")
        write_json(self.out / STEPS, {**self._done(), name: json_hash(key)})
        return folder

    def _done(self) -> dict[str, str]:
        file = self.out / STEPS
        return read_json(file) if file.is_file() else {}

    def data(self) -> Benchmark:
        """Load, filter, split and keep the data set."""
        want = self.recipe.data
        if want.split == "tca4rec":
            loaded = load_tca4rec(want.source)
        else:
            dataset = load_dataset(want.source, items=want.items, duplicates=want.duplicates)
            if want.min_user or want.min_item:
                dataset = k_core(dataset, min_user=want.min_user, min_item=want.min_item)
            loaded = Benchmark(dataset, SPLITS[want.split](dataset))
        self.step("data", loaded.dataset.fingerprint, loaded.dataset.save_pretrained)
        return loaded

    def sids(self, name: str, want: Sids, dataset: Dataset, split: Split) -> SIDVocabulary:
        """Fit or import semantic IDs; of the split, a fusion reads the training histories."""
        seed = self.recipe.seed

        def make(folder: Path) -> None:
            if want.index is not None:
                import_semantic_ids(dataset, want.index).save_pretrained(folder)
                return
            settings = {name: value for name, value in plain(want).items() if name != "index"}
            fit_semantic_ids(dataset, split=split, **settings, seed=seed, progress=self.progress).save(folder)

        index = None if want.index is None else json_hash(read_json(want.index))
        code = code_hash("semantic_ids", "vectors")  # fitting is quick; what is trained on the same codes is kept
        key = [want.chosen(), index, seed, dataset.fingerprint, code]
        signal = identity(want.collaborative, split, want.settings)
        return SIDVocabulary.from_pretrained(self.step(name, key if signal is None else [*key, signal], make))

    def recommender(self, label: str, method: Method, dataset: Dataset, split: Split) -> Recommender:
        """Train one recommender, or open it where it is already trained."""
        if method.method == ORACLE:
            from agentrec.data.shop import Shop

            return Shop.from_dataset(dataset).oracle()
        if method.method == GENERATIVE:
            want = replace(self.recipe.sids, **method.sids)
            vocabulary = self.sids(f"{label}-sids" if method.sids else "sids", want, dataset, split)
            folder = self.generator(label, method, vocabulary, dataset.catalogue, split)
        else:
            folder = self._cf(label, method, split)
        return load_recommender(folder, catalogue=dataset.catalogue)

    def generator(
        self, label: str, method: Method, vocabulary: SIDVocabulary, catalogue: Catalogue, split: Split
    ) -> Path:
        """Train a generator on these semantic IDs, or find it trained; its folder."""
        from agentrec.training import sft
        from agentrec.training.sft_settings import SHAPING, defaults

        config = from_mapping(sft.Config, method.config)
        training = {"seed": self.recipe.seed, **method.training}
        train, aligned = self._aligned(method, split) if method.tca4rec else (sft.train_sft, [])

        def make(folder: Path) -> None:
            train(split, vocabulary, catalogue, folder, config=config, training=training, progress=self.progress)

        settings = {**defaults(config), **training}  # a changed default trains again, another machine does not
        shaping = {name: value for name, value in settings.items() if name in SHAPING}
        return self.step(label, [config.chosen(), shaping, split.fingerprint, vocabulary.fingerprint, *aligned], make)

    def _aligned(self, method: Method, split: Split) -> tuple[Callable[..., Any], list[Any]]:
        """How to train with the teachers of a row, and the part of the step's key that is its own."""
        from agentrec.training.tca4rec import Alignment, train_tca4rec
        from agentrec.training.teacher_mixture import folds_of

        asked = from_mapping(Alignment, method.tca4rec)
        rows = [self.recipe.recommenders[label] for label in method.teachers]
        each = folds_of([row.method for row in rows], asked.folds)
        ways, keys = [], []
        for label, row, folds in zip(method.teachers, rows, each, strict=True):
            way, key = self._cross_fitted(row, folds) if folds else self._teacher(label, row, split)
            ways.append(way)
            keys += key

        def train(split: Split, *given: Any, **settings: Any) -> Any:
            teachers = [way(split) for way in ways]
            return train_tca4rec(split, *given, teacher=teachers, alignment=replace(asked, folds=0), **settings)

        return train, [asked.chosen(), *keys]

    def _cross_fitted(self, row: Method, folds: int) -> tuple[Callable[[Split], Any], list[Any]]:
        """How to train a teacher of one model per fold, none of which is kept, and what tells it apart."""
        from agentrec.training import cf
        from agentrec.training.cross_fitting import cross_fit

        config = from_mapping(cf.Config, {"seed": self.recipe.seed, **row.training})

        def one(part: Split) -> Any:
            return cf.train_cf(row.method, part, model=row.model, config=config, progress=self.progress)

        return partial(cross_fit, one, folds=folds), [row.chosen(), config.chosen()]

    def _teacher(self, label: str, row: Method, split: Split) -> tuple[Callable[[Split], Path], list[Any]]:
        """How to find a trained teacher's folder, and the key that it was made under."""
        if self.home is None:
            folder, key = self._cf(label, row, split), self._done()[label]
            return lambda _: folder, [key]
        there = replace(self, out=self.home(label))
        there.out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{there.out}.lock"):  # another process may be training it for itself
            folder, key = there._cf(label, row, split), there._done()[label]
        return lambda _: folder, [key]

    def _cf(self, label: str, method: Method, split: Split) -> Path:
        from agentrec.training import cf

        config = from_mapping(cf.Config, {"seed": self.recipe.seed, **method.training})

        def make(folder: Path) -> None:
            trained = cf.train_cf(method.method, split, model=method.model, config=config, progress=self.progress)
            trained.save_pretrained(folder)

        model = [plain(settings) for settings in cf.model_settings(method.method, method.model)]
        return self.step(label, [method.method, model, config.chosen(), split.fingerprint], make)


def run_recipe(
    recipe: Recipe, out: str | Path, *, progress: bool = False, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Run every step and write the report.

    Args:
        recipe: what to do.
        out: folder of all artefacts; the evaluation lies in ``evaluation/``.
        progress: show bars on stderr.
        say: told one line per step.

    Raises:
        AgentrecError: whatever is wrong with data, settings or files.
    """
    if not recipe.recommenders:
        raise ConfigError("the recipe names no recommender; expected at least one under `recommenders`")
    check_rows(recipe.recommenders)
    run = Run(recipe, Path(out), progress, say)
    dataset, split = run.data()
    named = {label: run.recommender(label, row, dataset, split) for label, row in recipe.recommenders.items()}
    say("evaluation: working")
    result = evaluate(named, split, seed=recipe.seed, progress=progress, **plain(recipe.evaluate))
    folder = result.with_provenance(recipe=plain(recipe), code=code_hash()).save(run.out / "evaluation")
    shown = None
    if recipe.show.recommender in named:
        held = split.reveal(recipe.evaluate.part)
        shown = show(named[recipe.show.recommender], held.histories.take(slice(0, 1)), dataset, recipe.show.n)
    return Outcome(result, folder / "report.html", shown)


def show(recommender: Recommender, histories: Histories, dataset: Dataset, n: int) -> Shown:
    """The first history and its recommendations in words."""
    titles = dataset.catalogue.titles
    ranked = recommender.recommend(histories, n)
    user = int(histories.users[0])
    return Shown(
        user=dataset.user_ids[user] if user >= 0 else "",
        history=[titles[item] for item in histories[0]],
        recommended=in_words(dataset.catalogue, ranked.items[0], ranked.scores[0]),
    )


def in_words(catalogue: Catalogue, items: Any, scores: Any) -> list[tuple[str, float]]:
    """Titles with scores of one ranked row, padding left out."""
    titles = catalogue.titles
    return [(titles[item], float(score)) for item, score in zip(items, scores, strict=True) if item >= 0]
