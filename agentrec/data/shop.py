"""The simulated shop: data with a known truth, so that every method has an answer to find and a ceiling to reach.

A user with latent tastes buys the next item from one softmax over the catalogue, given the last item:

    logit(j | u, i) = taste * t_u[c_j] + transition * [c_j follows c_i] + successor * [j goes with i]
                      - popularity * log(rank of j in c_j) + price * p_u * level_j,   j != i

Every strength may be set to 0, which removes that effect and nothing else. Successors of an item lie in the category
that follows its own, so that both habits have a direction. Items have readable texts that name category and brand;
successors prefer the brand of the item. How long a user stays does not depend on what was bought.

What the shop does not know: changing tastes, new items, returns, and any dependence on more than the last item.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.rng import generator
from agentrec.core.types import Catalogue, HeldOut, IntArray
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.shop_oracle import Oracle, expected_scores
from agentrec.data.shop_words import BRANDS, KINDS, TIERS, description, title

FIRST_DAY = 1_704_067_200  # 2024-01-01 in seconds since 1970
DAY = 86_400
SHARED_BRANDS = 4  # brands per category, half of them shared with the next one
LONGEST = 5  # times the mean length


@dataclass(frozen=True)
class ShopConfig:
    """Sizes of the shop and strengths of what is planted in it; a strength of 0 switches its effect off."""

    num_users: int = setting(2000, "users")
    num_items: int = setting(600, "items")
    num_categories: int = setting(12, "categories, from 3 to 24")
    num_brands: int = setting(24, "brands, from 4 to 48")
    min_length: int = setting(5, "shortest history")
    mean_length: float = setting(12.0, "mean length of a history")
    num_successors: int = setting(3, "items that go with an item")
    taste: float = setting(2.0, "strength of a user's taste for categories")
    transition: float = setting(2.5, "strength of going on to the category that follows")
    successor: float = setting(4.0, "strength of buying what goes with the last item")
    popularity: float = setting(1.0, "exponent of Zipf's law within a category")
    price: float = setting(0.7, "strength of a user's preference for cheap or dear items")
    seed: int = setting(0, "seed of everything random")

    def __post_init__(self) -> None:
        limits: list[tuple[str, float, float]] = [
            ("num_users", 1, np.inf), ("num_categories", 3, len(KINDS)), ("num_items", 2 * self.num_categories, np.inf),
            ("num_brands", SHARED_BRANDS, len(BRANDS)), ("min_length", 1, np.inf), ("num_successors", 1, np.inf),
            ("mean_length", self.min_length, np.inf), ("seed", 0, np.inf),
            *((effect, 0, np.inf) for effect in ("taste", "transition", "successor", "popularity", "price")),
        ]  # fmt: skip
        for name, low, high in limits:
            value = getattr(self, name)
            if not low <= value <= high:
                expected = f"at least {low}" if high == np.inf else f"from {low} to {high}"
                raise ConfigError(f"the shop's {name} is {value}; expected {expected}")


@dataclass(frozen=True)
class World:
    """The truth behind the data.

    Attributes:
        config: sizes and strengths.
        categories: (N,) int64 category of every item; category ``c + 1`` follows ``c``, and the first follows the last.
        brands: (N,) int64.
        levels: (N,) float64 price level within the category, from -1 (cheap) to 1 (dear).
        ranks: (N,) int64 popularity rank within the category, from 1.
        successors: (N, S) int64 items that go with an item; all in the category that follows.
        tastes: (U, C) float64, standard normal.
        thrift: (U,) float64, standard normal; above 0 for those who buy dear.
    """

    config: ShopConfig
    categories: IntArray
    brands: IntArray
    levels: NDArray[np.float64]
    ranks: IntArray
    successors: IntArray
    tastes: NDArray[np.float64]
    thrift: NDArray[np.float64]

    def probabilities(self, users: IntArray, last: IntArray) -> NDArray[np.float64]:
        """The true distribution of the next item.

        Args:
            users: (B,) int64; ``-1`` for somebody unknown, who has the mean taste of the prior.
            last: (B,) int64 last item; ``-1`` where nothing was bought yet.

        Returns:
            (B, N) float64; rows sum to 1.
        """
        config = self.config
        known = (users >= 0)[:, None]
        logits = config.taste * np.where(known, self.tastes[users], 0.0)[:, self.categories]
        logits -= config.popularity * np.log(self.ranks)
        logits += config.price * np.where(known, self.thrift[users][:, None], 0.0) * self.levels
        rows = np.flatnonzero(last >= 0)
        items = last[rows]
        follows = (self.categories[items] + 1) % config.num_categories
        logits[rows] += config.transition * (self.categories == follows[:, None])
        logits[rows[:, None], self.successors[items]] += config.successor
        logits[rows, items] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


class Shop:
    """A world, and the purchases it produced.

    Example:
        >>> shop = Shop.generate(ShopConfig(num_users=50, num_items=60))
        >>> shop.dataset.num_items
        60
    """

    def __init__(self, world: World, dataset: Dataset) -> None:
        self.world = world
        self.dataset = dataset

    @property
    def config(self) -> ShopConfig:
        """Sizes and strengths."""
        return self.world.config

    @classmethod
    def generate(cls, config: ShopConfig | None = None) -> Shop:
        """Open the shop: the same config gives the same data."""
        world = make_world(config or ShopConfig())
        dataset = Dataset("shop", _user_ids(world), make_catalogue(world), make_interactions(world))
        return cls(world, dataset.stamp({"shop": dataclasses.asdict(world.config)}))

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Shop:
        """Rebuild the truth behind a data set that `generate` made, for example one that was saved and loaded.

        Raises:
            DataError: the data set comes from elsewhere, or its users or items were changed.
        """
        made = dataset.provenance.get("shop")
        if not isinstance(made, dict):
            raise DataError(
                f"data set {dataset.name!r} has no shop in its provenance; expected one made by Shop.generate"
            )
        world = make_world(from_mapping(ShopConfig, made))
        if dataset.user_ids != _user_ids(world) or dataset.catalogue != make_catalogue(world):
            raise DataError(
                f"data set {dataset.name!r} has other users or items than the shop it names; expected them unchanged, "
                "so use the data set as Shop.generate made it"
            )
        return cls(world, dataset)

    def oracle(self) -> Oracle:
        """The recommender that knows the truth; nothing can beat it but by luck."""
        return Oracle(self.world.probabilities, self.config.num_items, self.config.num_users)

    def best_scores(self, held_out: HeldOut, ks: Sequence[int] = (5, 10)) -> dict[str, float]:
        """The oracle's expected scores, from its own probabilities rather than from the targets.

        They hold where the target is the very next purchase after the history, as both splits guarantee.

        Args:
            held_out: users of this shop.
            ks: list lengths.

        Returns:
            ``{"recall@5": ..., "ndcg@5": ..., ...}``.
        """
        return expected_scores(self.oracle(), held_out.histories, ks)


def make_world(config: ShopConfig) -> World:
    """Draw items, what goes with them, and users."""
    rng = generator(config.seed, "shop", "items")
    categories = rng.permutation(np.arange(config.num_items) % config.num_categories)
    pools = (2 * np.arange(config.num_categories)[:, None] + np.arange(SHARED_BRANDS)) % config.num_brands
    brands = pools[categories, rng.integers(SHARED_BRANDS, size=config.num_items)]
    ranks = np.zeros(config.num_items, np.int64)
    levels = np.zeros(config.num_items)
    for category in range(config.num_categories):
        members = np.flatnonzero(categories == category)
        ranks[members] = rng.permutation(len(members)) + 1
        levels[members] = rng.permutation(np.linspace(-1, 1, len(members)))
    successors = _draw_successors(config, categories, brands)
    people = generator(config.seed, "shop", "users")
    tastes = people.standard_normal((config.num_users, config.num_categories))
    thrift = people.standard_normal(config.num_users)
    return World(config, categories, brands, levels, ranks, successors, tastes, thrift)


def _draw_successors(config: ShopConfig, categories: IntArray, brands: IntArray) -> IntArray:
    """(N, S) int64: items of the following category, those of the same brand first."""
    rng = generator(config.seed, "shop", "successors")
    members = [np.flatnonzero(categories == category) for category in range(config.num_categories)]
    size = min(config.num_successors, min(map(len, members)))
    chosen = np.zeros((config.num_items, size), np.int64)
    for item in range(config.num_items):
        pool = rng.permutation(members[(categories[item] + 1) % config.num_categories])
        chosen[item] = pool[np.argsort(brands[pool] != brands[item], kind="stable")][:size]
    return chosen


def make_catalogue(world: World) -> Catalogue:
    """Readable items: title, brand, category, price and a sentence."""
    rng = generator(world.config.seed, "shop", "texts")
    models = rng.permutation(np.arange(100, 100 + 9 * world.config.num_items))[: world.config.num_items]
    columns: dict[str, list[str]] = {"title": [], "brand": [], "category": [], "price": [], "description": []}
    for item, (category, brand_index) in enumerate(zip(world.categories, world.brands, strict=True)):
        kind, brand = KINDS[category], BRANDS[brand_index]
        noun, adjective = (words[rng.integers(len(words))] for words in (kind.nouns, kind.adjectives))
        tier = TIERS[min(int((world.levels[item] + 1) * 1.5), 2)]
        columns["title"].append(title(brand, adjective, noun, f"{brand[0]}{models[item]}"))
        columns["brand"].append(brand)
        columns["category"].append(kind.name)
        columns["price"].append(f"{kind.price * 2.0 ** world.levels[item]:.2f}")
        columns["description"].append(description(kind, brand, adjective, noun, tier))
    width = len(str(world.config.num_items - 1))
    ids = tuple(f"item-{item:0{width}}" for item in range(world.config.num_items))
    return Catalogue(ids, {name: tuple(values) for name, values in columns.items()})


def make_interactions(world: World) -> Interactions:
    """Let every user buy, some hundred users at a time."""
    config = world.config
    rng = generator(config.seed, "shop", "purchases")
    extra = config.mean_length - config.min_length
    lengths = config.min_length + rng.geometric(1 / (1 + extra), config.num_users) - 1
    lengths = np.minimum(lengths, round(LONGEST * config.mean_length))
    items = np.full((config.num_users, int(lengths.max())), -1, np.int64)
    for start in range(0, config.num_users, 512):
        block = np.arange(start, min(start + 512, config.num_users))
        last = np.full(len(block), -1, np.int64)
        for step in range(int(lengths[block].max())):
            active = np.flatnonzero(lengths[block] > step)
            last[active] = _draw(world.probabilities(block[active], last[active]), rng)
            items[block[active], step] = last[active]
    users = np.repeat(np.arange(config.num_users), lengths)
    gaps = 1 + rng.exponential(10 * DAY, items.shape).astype(np.int64)
    gaps[:, 0] += rng.integers(365 * DAY, size=config.num_users)
    times = FIRST_DAY + np.cumsum(gaps, axis=1)
    return Interactions.sort(users, items[items >= 0], times[items >= 0], has_timestamps=True)


def _draw(probabilities: NDArray[np.float64], rng: np.random.Generator) -> IntArray:
    """One item per row: (B, N) -> (B,) int64."""
    bounds = np.cumsum(probabilities, axis=1)
    thresholds = rng.random(len(bounds)) * bounds[:, -1]
    return np.asarray((bounds <= thresholds[:, None]).sum(axis=1), np.int64)


def _user_ids(world: World) -> tuple[str, ...]:
    width = len(str(world.config.num_users - 1))
    return tuple(f"user-{user:0{width}}" for user in range(world.config.num_users))
