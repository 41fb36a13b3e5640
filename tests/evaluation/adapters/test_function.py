"""A Python function as a recommender, and how one is found."""

import math

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, RecommenderError
from agentrec.core.files import file_hash
from agentrec.core.protocols import Recommender
from agentrec.core.types import Catalogue, Histories
from agentrec.evaluation.adapters.function import FunctionRecommender, as_recommender, import_function, takes_seed
from agentrec.evaluation.contract import checked_recommend
from agentrec.models.popularity import Popularity
from agentrec.testing.recommenders import RecommenderTests
from agentrec.testing.worlds import tiny_world

CATALOGUE = Catalogue(("a", "b", "007", "8"))


def first_items(histories, n):
    return [["a", "b", "007", "8"][:n] for _ in histories]


class TestFunctionRecommender(RecommenderTests):
    """A function that follows the cycles of the tiny world by item ids alone."""

    min_recall_at_1 = 1.0

    def make(self, train, num_items):
        world = tiny_world()
        ids, index = world.catalogue.ids, world.catalogue.index()
        oracle = world.oracle()

        def follow(histories, n):
            asked = Histories.from_lists([[index[item] for item in history] for history in histories])
            answer = oracle.recommend(asked, n)
            return [[ids[item] for item in row if item >= 0] for row in answer.items]

        return FunctionRecommender(follow, world.catalogue)


def test_it_sees_ids_and_may_answer_with_scores():
    asked = []

    def call(histories, n):
        asked.append((histories, n))
        return [[("007", 2), ("a", 0.5)], [], [("8", np.float32(-1))]]

    found = FunctionRecommender(call, CATALOGUE).recommend(Histories.from_lists([[2, 0], [], [3]]), 3)
    assert asked == [([["007", "a"], [], ["8"]], 3)]
    assert found.items.tolist() == [[2, 0, -1], [-1, -1, -1], [3, -1, -1]]
    assert found.scores.tolist() == [[2, 0.5, -np.inf], [-np.inf] * 3, [-1, -np.inf, -np.inf]]


def test_whole_numbers_are_ids_too_and_long_lists_are_cut():
    found = FunctionRecommender(lambda histories, n: np.array([[8, 8][:1] * 1]), CATALOGUE)
    assert found.recommend(Histories.from_lists([[0]]), 2).items.tolist() == [[3, -1]]
    longer = FunctionRecommender(lambda histories, n: (("a", "b", "8") for _ in [0]), CATALOGUE)
    with pytest.raises(RecommenderError, match="returned a generator for 1 histories"):
        longer.recommend(Histories.from_lists([[0]]), 2)
    longer = FunctionRecommender(lambda histories, n: [("a", "b", "8")], CATALOGUE)
    assert longer.recommend(Histories.from_lists([[0]]), 2).items.tolist() == [[0, 1]]


def test_seen_items_are_taken_out_of_longer_lists():
    widths = []

    def call(histories, n):
        widths.append((len(histories), n))
        return first_items(histories, n)

    found = FunctionRecommender(call, CATALOGUE)
    answer = checked_recommend(found, Histories.from_lists([[0, 1], [], [2]]), 2, exclude_seen=True)
    assert answer.items.tolist() == [[2, 3], [0, 1], [0, 1]]
    assert widths == [(1, 2), (2, 4)]  # two items asked for nobody's history, all four for the others


def test_a_function_may_leave_seen_items_out_itself():
    told = []

    def call(histories, n, exclude_seen):
        told.append(exclude_seen)
        return [[item for item in "ab" if item not in history or not exclude_seen] for history in histories]

    found = FunctionRecommender(call, CATALOGUE)
    assert found.recommend(Histories.from_lists([[0]]), 2, exclude_seen=True).items.tolist() == [[1, -1]]
    assert found.recommend(Histories.from_lists([[0]]), 2).items.tolist() == [[0, 1]]
    assert told == [True, False]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([["a"], ["z"]], r"mine answers the unknown item 'z' for history 1; expected ids of the catalogue such as 'a'"),
        ([["a", "b", "a"], []], "mine answers the item 'a' more than once for history 0"),
        ([[("a", 0.1), ("b", 0.2)], []], "mine answers scores that increase for history 0; .* best item first"),
        ([[("a", math.nan)], []], r"answers \('a', nan\) as entry 0 for history 0; expected a finite number as score"),
        ([[("a", "1")], []], "expected a finite number as score"),
        ([[("a", 1e300)], []], "expected a finite number as score"),
        ([["a", ("b", 1.0)], []], "some items with a score and some without for history 0"),
        ([[1.5], []], "answers 1.5 as entry 0 for history 0; expected an item id"),
        ([[True], []], "answers True as entry 0"),
        ([["a"]], "returned a list of length 1 for 2 histories; expected a list with one list of item ids per history"),
        (None, "returned a NoneType for 2 histories"),
        ("ab", "returned a str of length 2 for 2 histories"),
        (["ab", "b"], "returned 'ab' for history 0; expected a list of item ids"),
        ([None, []], "returned None for history 0"),
    ],
)
def test_wrong_answers_are_named(answer, message):
    found = FunctionRecommender(lambda histories, n: answer, CATALOGUE, name="mine")
    with pytest.raises(RecommenderError, match=message):
        found.recommend(Histories.from_lists([[0], [1]]), 2)


def test_a_function_that_fails_is_named():
    def broken(histories, n):
        return histories[0][5]

    with pytest.raises(
        RecommenderError, match=r"broken raised IndexError \(list index out of range\) for 1 hist"
    ) as got:
        FunctionRecommender(broken, CATALOGUE).recommend(Histories.from_lists([[0]]), 2)
    assert isinstance(got.value.__cause__, IndexError)


SOURCE = """
from dataclasses import dataclass
import helper
import numpy as np
from agentrec.core.types import Recommendations

NUMBER = 3

def recommend(histories, n):
    return helper.lists(histories, n)

def one(histories):
    return []

def factory():
    return recommend

def seeded(seed):
    return lambda histories, n: [[str(seed)] for _ in histories]

def makes_nothing():
    return 3

class Ready:
    num_items = 4
    def recommend(self, histories, n, *, exclude_seen=False):
        shape = (len(histories), n)
        return Recommendations(np.full(shape, -1), np.full(shape, -np.inf, np.float32))

ready = Ready()

@dataclass
class Callable:
    letter: str = "b"
    def __call__(self, histories, n):
        return [[self.letter] for _ in histories]
"""


@pytest.fixture
def module(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "helper.py").write_text("def lists(histories, n):\n    return [['007'] for _ in histories]\n")
    return tmp_path / "mine.py"


def items(text, seed=0):
    found = as_recommender(import_function(text).value, CATALOGUE, name=text, seed=seed)
    return found.recommend(Histories.from_lists([[0]]), 1).items.tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("recommend", 2), ("factory", 2), ("Callable", 1), ("Ready", -1), ("ready", -1), ("seeded", 3)],
)
def test_whatever_makes_a_recommender_is_used(module, name, expected):
    assert items(f"{module}:{name}", seed=8) == [[expected]]


def test_modules_of_the_working_directory_are_found(module, monkeypatch):
    monkeypatch.chdir(module.parent)
    assert items("mine:recommend") == [[2]]
    assert import_function("mine:ready.recommend").value.__name__ == "recommend"
    found = import_function("agentrec.models.popularity:Popularity")
    assert found.file is not None
    assert found.identity() == {"function": found.text, "source": file_hash(found.file)}


def test_the_source_is_part_of_the_identity(module):
    before = import_function(f"{module}:recommend").identity()
    module.write_text(SOURCE + "\n# changed\n")
    assert import_function(f"{module}:recommend").identity() != before


def test_who_takes_a_seed(module):
    values = {name: import_function(f"{module}:{name}").value for name in ("recommend", "seeded", "factory", "ready")}
    assert {name: takes_seed(value) for name, value in values.items()} == {
        "recommend": False,
        "seeded": True,
        "factory": False,
        "ready": False,
    }


def test_a_recommender_is_used_as_it_is():
    ready = Popularity(np.ones(4, np.float32))
    assert as_recommender(ready, CATALOGUE, name="ready") is ready
    assert isinstance(as_recommender(first_items, CATALOGUE, name="f"), Recommender)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", r"'nothing' names no function; expected module:name or path/to/file.py:name"),
        (":name", "names no function"),
        ("no_such_module_here:name", "there is no module 'no_such_module_here' to import"),
        ("agentrec.no_such:name", "there is no module 'agentrec.no_such' to import"),
        ("no_such.py:name", "no_such.py does not exist; expected a Python file there"),
        ("{file}:missing", r"has no 'missing'; those that can be called are .*recommend, one, factory"),
        ("{folder}/bad.py:f", r"importing .*bad.py raised ZeroDivisionError \(division by zero\)"),
        ("{folder}/needs.py:f", "importing .*needs.py raised ModuleNotFoundError .*not_installed_anywhere"),
    ],
)
def test_what_cannot_be_imported_is_named(module, text, message):
    (module.parent / "bad.py").write_text("1 / 0\n")
    (module.parent / "needs.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ConfigError, match=message):
        import_function(text.format(file=module, folder=module.parent))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NUMBER", "is of type int; expected a recommender or a function of histories and n"),
        ("one", r"has the parameters \(histories\); expected a function of histories and n"),
        ("makes_nothing", r"makes a int; expected an object with `num_items` and `recommend`"),
    ],
)
def test_what_is_no_recommender_is_named(module, name, message):
    with pytest.raises(ConfigError, match=message):
        items(f"{module}:{name}")
