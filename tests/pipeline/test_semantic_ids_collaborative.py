"""Semantic IDs that know training histories: planted co-purchases, no held-out row, new items, refusals."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agentrec.core.errors import ArtefactError, ConfigError, DataError, DataWarning, UnknownNameError
from agentrec.core.types import Histories
from agentrec.data.dataset import Dataset
from agentrec.data.split import Split, leave_one_out
from agentrec.data.table import from_frames
from agentrec.pipeline.collaborative import FusedEncoder, model_vectors
from agentrec.pipeline.extend import extend_semantic_ids
from agentrec.pipeline.recipe import Recipe
from agentrec.pipeline.run import Run
from agentrec.pipeline.semantic_ids import (
    SemanticIDs,
    fit_semantic_ids,
    load_quantiser,
    load_text_encoder,
    report_semantic_ids,
)
from agentrec.semantic_ids.vocabulary import SIDVocabulary

pytestmark = [
    pytest.mark.filterwarnings("ignore:rq_kmeans:agentrec.core.errors.DataWarning"),
    pytest.mark.filterwarnings("ignore:co_occurrence_svd. 60 items:agentrec.core.errors.DataWarning"),
    pytest.mark.filterwarnings("ignore:tfidf_svd:agentrec.core.errors.DataWarning"),
]

FUSIONS = ["aligned", "concat", "smooth"]
KINDS = ["hat", "shoe", "scarf", "hammer", "drill", "lamp"]
GROUPS, SIZE = 6, 60
QUICK = {"num_levels": 2, "codebook_size": 6, "settings": {"vectors": {"embedding_dim": 12}}}


def items_frame(size: int = SIZE) -> pd.DataFrame:
    """Titles of six kinds that say nothing of who buys what, and of each item's own."""
    titles = [f"{KINDS[item % 6]} {KINDS[item % 6]} {KINDS[item % 6]} number{item}" for item in range(size)]
    return pd.DataFrame({"item": [f"i{item:02d}" for item in range(size)], "title": titles})


def group(items: np.ndarray) -> np.ndarray:
    """Whom an item is bought with: 10 neighbours in the numbering, of all kinds."""
    return items // 10


def shop(*, shuffled: bool = False, held_out: int = 0, size: int = SIZE) -> Dataset:
    """240 users who buy six items of a group; ``held_out`` changes each user's last two."""
    rng, drawn = np.random.default_rng(0), []
    for user in range(240):
        drawn.append(rng.permutation(10)[:6] + 10 * (user % GROUPS))
    table = np.array(drawn)
    if shuffled:
        table = np.argsort(np.random.default_rng(1).random((240, SIZE)), axis=1)[:, :6]
    if held_out:
        table[:, 4:] = (table[:, 4:] + 10 * held_out) % SIZE  # of another group
    rows = [(f"u{user:03d}", f"i{item:02d}", time) for user, row in enumerate(table) for time, item in enumerate(row)]
    frame = pd.DataFrame(rows, columns=["user", "item", "timestamp"])
    return from_frames(frame, items_frame(size))


def fit(name: str, dataset: Dataset, split: Split | None = None, **more: object) -> SemanticIDs:
    return fit_semantic_ids(dataset, collaborative=name, split=split or leave_one_out(dataset), **{**QUICK, **more})


def numbers(dataset: Dataset) -> np.ndarray:
    return np.array([int(item[1:]) for item in dataset.catalogue.ids])


def sharing(found: SemanticIDs, dataset: Dataset) -> float:
    """Of the items with the same first code, the share that is bought together."""
    first, owner = found.vocabulary.codes[:, 0], group(numbers(dataset))
    pairs = (first[:, None] == first) & ~np.eye(len(first), dtype=bool)
    return float((owner[:, None] == owner)[pairs].mean())


def purity(vectors: np.ndarray, owner: np.ndarray, rows: np.ndarray) -> float:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = unit[rows] @ unit.T
    near[np.arange(len(rows)), rows] = -2
    return float((owner[np.argsort(-near, axis=1)[:, :5]] == owner[rows][:, None]).mean())


@pytest.mark.parametrize(
    ("name", "strong", "least"),
    [
        ("aligned", {"weight": 0.8}, 0.8),
        ("concat", {"weight": 0.8}, 0.8),
        ("smooth", {"alpha": 0.02, "steps": 6}, 0.2),  # it moves items within the space of the texts alone
    ],
)
def test_items_bought_together_share_codes_though_texts_mislead(
    name: str, strong: dict[str, float], least: float
) -> None:
    dataset, lost = shop(), shop(shuffled=True)
    settings = {**QUICK["settings"], "fusion": strong}
    assert sharing(fit("none", dataset), dataset) < 0.1
    assert sharing(fit(name, dataset, settings=settings), dataset) > least
    assert sharing(fit(name, lost, settings=settings), lost) < 0.17  # 9 / 59 is chance


@pytest.mark.parametrize("name", FUSIONS)
def test_no_held_out_row_enters(name: str) -> None:
    found = []
    for change in (0, 1, 2):
        dataset = shop(held_out=change)
        split = leave_one_out(dataset)
        assert len(split.train.items) == 4 * 240
        fitted = fit(name, dataset, split)
        order = np.argsort(numbers(dataset))
        found.append((fitted.vectors[order], fitted.vocabulary.codes[order, :2], split.fingerprint))
    assert len({fingerprint for _, _, fingerprint in found}) == 3  # held-out rows differ
    for vectors, codes, _ in found[1:]:
        np.testing.assert_allclose(vectors, found[0][0], atol=1e-6)
        assert np.array_equal(codes, found[0][1])
    whole = shop(held_out=1)
    leaking = leave_one_out(whole)
    leaking.train = leaking.reveal("test").histories  # the check can fail
    assert not np.allclose(fit(name, whole, leaking).vectors[np.argsort(numbers(whole))], found[0][0], atol=1e-3)


@pytest.mark.parametrize("name", FUSIONS)
def test_saved_ids_report_and_extend_as_they_were_fitted(name: str, tmp_path: Path) -> None:
    dataset = shop()
    found = fit(name, dataset, settings={**QUICK["settings"], "collisions": {"size": 60}})  # numbers for new items too
    found.save(tmp_path / "sids")
    parts = load_quantiser(tmp_path / "sids"), load_text_encoder(tmp_path / "sids")
    assert isinstance(parts[1], FusedEncoder)
    assert report_semantic_ids(found.vocabulary, dataset, *parts) == found.health
    with pytest.raises(ArtefactError, match=f"fitted with collaborative '{name}' and no encoder was given"):
        report_semantic_ids(found.vocabulary, dataset, parts[0])
    more = from_frames(pd.DataFrame({"user": ["a"], "item": ["i00"], "timestamp": [0]}), items_frame(SIZE + 5))
    extended = extend_semantic_ids(tmp_path / "sids", more)
    place = {item: row for row, item in enumerate(dataset.catalogue.ids)}
    rows = np.array([place.get(item, -1) for item in more.catalogue.ids])
    assert (rows >= 0).sum() == SIZE
    np.testing.assert_allclose(extended.vectors[rows >= 0], found.vectors[rows[rows >= 0]], atol=1e-6)
    assert np.array_equal(extended.vocabulary.codes[rows >= 0], found.vocabulary.codes[rows[rows >= 0]])
    texts = [text for text, row in zip(more.require_texts(), rows, strict=True) if row < 0]
    np.testing.assert_allclose(extended.vectors[rows < 0], found.encoder.encode(texts), atol=1e-6)
    assert extended.vocabulary.provenance["signal"] == found.vocabulary.provenance["signal"]
    extended.save(tmp_path / "more")
    again = extend_semantic_ids(tmp_path / "more", more)
    np.testing.assert_allclose(again.vectors, extended.vectors, atol=1e-6)


def test_new_items_get_neighbours_by_what_their_text_tells_of_buyers() -> None:
    """One word of each title names the group, quietly; aligned learns that this is the word that matters."""
    frame = items_frame()
    frame["title"] = [f"{title} set{item // 10}" for item, title in enumerate(frame["title"])]
    whole = shop()
    items = numbers(whole)[whole.interactions.items]
    table = pd.DataFrame({"user": whole.interactions.users, "item": items, "timestamp": whole.interactions.order})
    table = table[items % 10 != 9].assign(item=lambda rows: rows["item"].map("i{:02d}".format))  # not bought yet
    dataset = from_frames(table, frame)
    owner, fresh = group(numbers(dataset)), np.flatnonzero(numbers(dataset) % 10 == 9)
    assert len(fresh) == 6
    settings = {"vectors": {"embedding_dim": 40}, "fusion": {"weight": 0.8, "min_count": 3}}
    with pytest.warns(DataWarning, match="training histories say nothing of 6 of 60 items, for example 'i.9'"):
        found = fit("aligned", dataset, settings=settings)
    assert found.vocabulary.provenance["signal"]["items_by_text_alone"] == 6
    chance = 9 / 59
    alone = purity(fit("none", dataset, settings={"vectors": {"embedding_dim": 40}}).vectors, owner, fresh)
    assert purity(found.vectors, owner, fresh) > max(0.8, alone + 0.3, 3 * chance)


def test_provenance_names_split_and_settings() -> None:
    dataset = shop()
    split = leave_one_out(dataset)
    signal = {"window": 2, "embedding_dim": 16, "directed": True}
    found = fit("concat", dataset, split, settings={**QUICK["settings"], "signal": signal, "fusion": {"weight": 0.5}})
    made = found.vocabulary.provenance
    assert made["collaborative"] == "concat"
    assert made["signal"]["split"] == split.fingerprint
    assert made["signal"]["fusion"]["weight"] == 0.5
    assert signal.items() <= made["signal"]["signal"].items()
    assert found.vectors.shape == (SIZE, 12 + 16)
    plain = fit_semantic_ids(dataset, **QUICK)
    assert plain.vocabulary.provenance["signal"] is None
    assert np.array_equal(plain.vectors, fit("none", dataset).vectors)  # a split alone changes nothing


def test_what_cannot_be_fused_is_refused() -> None:
    dataset, split = shop(), leave_one_out(shop())
    with pytest.raises(ConfigError, match="reads training histories and was given no split"):
        fit_semantic_ids(dataset, collaborative="concat", **QUICK)
    for wrong in (dataset, split.train, split.reveal("test")):
        with pytest.raises(ConfigError, match=f"was given a {type(wrong).__name__}; expected a split"):
            fit("concat", dataset, wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="expected a split of the same"):
        fit("concat", shop(size=SIZE + 1), split)
    with pytest.raises(UnknownNameError, match="aligned, concat, smooth"):
        fit("average", dataset)
    with pytest.raises(ConfigError, match="no setting 'share'"):
        fit("concat", dataset, settings={"fusion": {"share": 1}})
    with pytest.raises(ConfigError, match="'window' of the collaborative signal is 0"):
        fit("smooth", dataset, settings={"signal": {"window": 0}})
    with pytest.raises(ConfigError, match="'smooth' has no use for the signal's setting 'directed'"):
        fit("smooth", dataset, settings={"signal": {"directed": True}})
    with pytest.raises(ConfigError, match="'concat' has no use for the signal's setting 'window'"):
        fit("concat", dataset, settings={"signal": {"model": "somewhere", "window": 2}})
    with pytest.raises(ConfigError, match="collaborative is 'none' and there are settings of the part 'signal'"):
        fit("none", dataset, settings={"signal": {"window": 2}})
    split.train = Histories.from_lists([[item] for item in range(SIZE)])
    with pytest.raises(DataError, match="say nothing of any item"), pytest.warns(DataWarning, match="60 of 60"):
        fit("concat", dataset, split)


def test_item_vectors_of_a_trained_model_are_a_signal(tmp_path: Path) -> None:
    from agentrec.training import cf

    dataset = shop()
    split = leave_one_out(dataset)
    config = cf.Config(epochs=8)
    trained = cf.train_cf("sasrec", split, model={"embedding_dim": 16, "num_layers": 1}, config=config)
    trained.save_pretrained(tmp_path / "sasrec")
    settings = {**QUICK["settings"], "signal": {"model": str(tmp_path / "sasrec")}, "fusion": {"weight": 0.8}}
    found = fit("concat", dataset, split, settings=settings)
    table = trained.network.items.weight.detach().numpy()  # type: ignore[attr-defined]
    expected = table / np.linalg.norm(table, axis=1, keepdims=True)
    np.testing.assert_allclose(model_vectors(tmp_path / "sasrec", split.fingerprint), expected, atol=1e-6)
    part = found.vectors[:, 12:] / np.linalg.norm(found.vectors[:, 12:], axis=1, keepdims=True)
    np.testing.assert_allclose(part, expected, atol=1e-5)
    assert set(found.vocabulary.provenance["signal"]["signal"]) == {"model"}
    assert len(found.vocabulary.provenance["signal"]["model"]) == 16
    other = shop(held_out=1)
    with pytest.raises(ArtefactError, match="was trained on the split"):
        fit("concat", other, settings=settings)
    dataset.save_pretrained(tmp_path / "data")
    with pytest.raises(ArtefactError, match="expected models/sasrec"):
        model_vectors(tmp_path / "data", split.fingerprint)


def test_a_recipe_takes_a_fusion_and_fits_again_when_the_split_changes(tmp_path: Path) -> None:
    dataset = shop()
    content = {"collaborative": "concat", "num_levels": 2, "codebook_size": 6, "settings": QUICK["settings"]}
    recipe = Recipe.from_dict({"sids": content, "recommenders": {}})
    said: list[str] = []
    run = Run(recipe, tmp_path, say=said.append)
    split = leave_one_out(dataset)
    found = run.sids("sids", recipe.sids, dataset, split)
    expected = fit("concat", dataset, split)
    assert np.array_equal(found.codes, expected.vocabulary.codes)
    assert found.provenance["signal"] == expected.vocabulary.provenance["signal"]
    run.sids("sids", recipe.sids, dataset, split)
    assert said[-1] == "sids: kept, nothing changed"
    split.fingerprint = "another"
    run.sids("sids", recipe.sids, dataset, split)
    assert said[-2] == "sids: working"


def test_the_command_line_fuses(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from agentrec.cli.sids import app

    dataset = shop()
    dataset.save_pretrained(tmp_path / "data")
    asked = ["fit", "--data", tmp_path / "data", "--out", tmp_path / "sids", "--levels", 2, "--codebook-size", 6]
    for name in ("smooth", "none"):
        result = CliRunner().invoke(app, [*map(str, asked), "--collaborative", name, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout.splitlines()[-1])["num_items"] == SIZE
        made = SIDVocabulary.from_pretrained(tmp_path / "sids").provenance
        assert made["collaborative"] == name
        assert (made["signal"] is None) == (name == "none")
    with pytest.raises(UnknownNameError, match="aligned, concat, smooth"):
        CliRunner().invoke(app, [*map(str, asked), "--collaborative", "both"], catch_exceptions=False)


@pytest.mark.data
@pytest.mark.slow
def test_next_items_share_codes_more_often_on_real_data(data_folder: Path) -> None:
    from agentrec.data.load import load_dataset

    dataset = load_dataset(data_folder / "amazon_scientific")
    split = leave_one_out(dataset)
    held = split.reveal("validation")
    last = held.histories.items[held.histories.offsets[1:] - 1]
    shares: dict[str, list[float]] = {"none": [], "concat": []}
    for seed in range(3):
        for name, found in shares.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # 17 items are bought by nobody in training
                fitted = fit_semantic_ids(dataset, collaborative=name, split=split, seed=seed)
            first = fitted.vocabulary.codes[:, 0]
            found.append(float((first[last] == first[held.targets]).mean()))
    assert min(shares["none"]) > 0.09
    gains = np.subtract(shares["concat"], shares["none"])  # .0051, .0043 and .0110
    assert (gains > 0).all()
    assert gains.mean() > 0.004
