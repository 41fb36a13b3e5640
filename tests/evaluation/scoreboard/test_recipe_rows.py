"""The rows of recipes that a command names are found, and their hash follows what shapes their training."""

import copy

import pytest
import yaml

from agentrec.evaluation.scoreboard.recipe_rows import RECIPES, recipe_rows

COMMAND = "agentrec eval run next_item --recommender popularity,recipe:game:other,mine=recipe:game:mine"
RECIPE = {
    "sids": {"num_levels": 2},
    "recommenders": {
        "popularity": {},
        "other": {},
        "sasrec": {"training": {"epochs": 3}},
        "mine": {"method": "generative", "tca4rec": {"teacher": "sasrec + popularity"}},
        "elsewhere": {},
    },
}


@pytest.fixture
def rows(tmp_path):
    """Recipe -> rows of `COMMAND`, once the recipe is in place."""
    (tmp_path / RECIPES).mkdir(parents=True)

    def rows(recipe=RECIPE, command=COMMAND):
        (tmp_path / RECIPES / "game.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        return recipe_rows(command, tmp_path)

    return rows


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--recommender recipe:game:mine", ["game:mine"]),
        ("--recommender label=recipe:game:mine,recipe:game:other", ["game:mine", "game:other"]),
        ("--generator game:mine", ["game:mine"]),
        ("--generator=game:sasrec", ["game:sasrec"]),
        ("--recommender recipe:game:absent,recipe:absent:mine", []),
        ("--recommender python:game:mine,http://game:mine/,mine,other.game:mine", []),
    ],
)
def test_rows_are_found_in_a_command(rows, words, found):
    assert sorted(rows(command=f"agentrec eval run next_item {words} --seeds 3")) == found


def changed(*path, to):
    recipe = copy.deepcopy(RECIPE)
    inner = recipe
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return recipe


@pytest.mark.parametrize(
    ("recipe", "row"),
    [
        (changed("recommenders", "mine", "config", to={"dropout": 0.1}), "game:mine"),
        (changed("recommenders", "sasrec", "training", "epochs", to=4), "game:mine"),  # its teacher
        (changed("sids", "num_levels", to=3), "game:mine"),  # a generator's semantic IDs
        (changed("recommenders", "other", to={"training": {"epochs": 1}}), "game:other"),
    ],
)
def test_what_shapes_a_row_changes_its_hash_alone(rows, recipe, row):
    before, after = rows(), rows(recipe)
    assert [name for name in before if before[name] != after[name]] == [row]


@pytest.mark.parametrize(
    "recipe",
    [
        changed("recommenders", "elsewhere", to={"training": {"epochs": 9}}),
        dict(reversed(RECIPE.items())),
        {**RECIPE, "evaluate": {"part": "validation"}},
    ],
)
def test_other_changes_leave_the_hashes_alone(rows, recipe):
    assert rows(recipe) == rows()
