"""Every task on a small catalogue with texts: prompts render, labels are the answer and nothing else, nothing leaks."""

import sys
from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import DataError
from agentrec.core.types import Catalogue, Histories
from agentrec.models.presets import build_tokenizer
from agentrec.prompts.compose import Composer, Pieces
from agentrec.prompts.files import list_prompts
from agentrec.prompts.forms import PROMPTS
from agentrec.prompts.mixture import IGNORE, TASKS, Context, build_rows, parse_tasks, task_prompts, task_questions
from agentrec.prompts.questions import Material
from agentrec.prompts.tasks.long_tail import head
from agentrec.semantic_ids.vocabulary import SIDVocabulary

RNG = np.random.default_rng(0)
N = 30
TITLES = tuple(f"Thing {item} (model {item * 7})." if item != 4 else "" for item in range(N))
BRANDS = tuple(("Acme", "Bolt & Co", "")[item % 3] for item in range(N))
CATEGORIES = tuple(f"Tools|Kind {item % 4}" if item % 7 else "" for item in range(N))
COLUMNS = {"title": TITLES, "brand": BRANDS, "categories": CATEGORIES, "text": tuple(f"about {i}" for i in range(N))}
CATALOGUE = Catalogue(tuple(f"id-{item}" for item in range(N)), COLUMNS)
POPULAR = [RNG.integers(0, 20, RNG.integers(1, 9)).tolist() for _ in range(40)]
HISTORIES = Histories.from_lists([*POPULAR, [3, 25], [1, 2, 26], [5]], list(range(100, 143)))  # 25, 26: chosen once
VOCABULARY = SIDVocabulary(np.stack(np.divmod(np.arange(N), 6), axis=1).astype(np.int64))
SIDS = [VOCABULARY.text(item) for item in range(N)]
MATERIAL = Material(HISTORIES, CATALOGUE, SIDS, max_items=3, targets_per_user=2)
TOKENIZER = build_tokenizer(VOCABULARY.all_tokens, [*CATALOGUE.texts(), *map(str, COLUMNS)])
NAMES = TASKS.names()
NEXT = [name for name in NAMES if "history" in task_prompts(name)[1].variables]


def decoded(name: str) -> list[tuple[str, str]]:
    """Prompt and learned text of every row of a task."""
    rows = build_rows(MATERIAL, TOKENIZER, {name: 1.0}, context=Context(4096))
    pairs = []
    for ids, labels in zip(rows.tokens.rows(), rows.labels.rows(), strict=True):
        assert len(ids) == len(labels)
        start = labels.count(IGNORE)
        assert labels == [IGNORE] * start + ids[start:]
        pairs.append((TOKENIZER.decode(ids[:start]), TOKENIZER.decode(ids[start:])))
    return pairs


def test_there_are_the_tasks_of_lc_rec_and_sigma() -> None:
    lists = {"next_item", "next_title", "next_item_from_titles", "next_title_from_sids", "next_category"}
    assert set(NAMES) == lists | {"title_to_sid", "sid_to_title", "attributes_to_sid", "long_tail", "new_item"}
    assert {f"sft/{name}_{role}" for name in NAMES for role in ("system", "user")} <= set(list_prompts())
    assert tuple(prompt.name for prompt in task_prompts("next_item")) == PROMPTS  # what recommending asks


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_the_answer_and_nothing_else(name: str) -> None:
    """Round trip of every row: prompts are those that Jinja and the template render, answers those of the task."""
    asked = task_questions(name, MATERIAL)
    composer = Composer(*task_prompts(name), Pieces(TOKENIZER))
    assert composer.plain
    expected = [
        (composer.text(asked.values(row)), asked.answers.table[asked.answers.rows[row]] + "<|im_end|>")
        for row in range(len(asked))
    ]
    assert decoded(name) == expected
    assert all(answer.removesuffix("<|im_end|>").strip() for _, answer in expected)


@pytest.mark.parametrize("name", NEXT)
def test_histories_end_before_their_target(name: str) -> None:
    """Against a loop over users: the latest two positions, each with the three items before it, in the same order."""
    column = {"next_title": TITLES, "next_title_from_sids": TITLES, "next_category": CATEGORIES}.get(name, tuple(SIDS))
    counts = np.bincount(HISTORIES.items, minlength=N)
    popular = set(np.argsort(-counts, kind="stable")[: round(0.2 * (counts > 0).sum())].tolist())
    expected = []
    for user, history in zip(HISTORIES.users.tolist(), HISTORIES, strict=True):
        for place in range(max(1, len(history) - 2), len(history)):
            target = int(history[place])
            kept = {"long_tail": target not in popular, "new_item": counts[target] == 1}.get(name, bool(column[target]))
            if kept:
                expected.append((user, history[max(0, place - 3) : place].tolist(), target))
    asked = task_questions(name, MATERIAL)
    listing = asked.fields["history"]
    shown = [
        HISTORIES.items[start : start + length].tolist()
        for start, length in zip(listing.starts, listing.lengths, strict=True)
    ]
    assert list(zip(asked.users.tolist(), shown, asked.targets.tolist(), strict=True)) == expected
    assert [asked.answers.table[row] for row in asked.answers.rows] == [column[target] for *_, target in expected]


def test_new_items_and_the_tail() -> None:
    assert sorted(task_questions("new_item", MATERIAL).targets.tolist())[-2:] == [25, 26]
    assert head(np.array([5, 0, 9, 1, 9, 2, 0, 3, 1, 1, 1, 4])).tolist() == [2, 4]


def test_histories_show_what_the_form_says() -> None:
    for prompt, answer in decoded("next_item_from_titles"):
        assert "Thing" in prompt or "id-4" in prompt
        assert "<a_" not in prompt
        assert answer.startswith("<a_")
    assert all("Thing" not in prompt and "<a_" in prompt for prompt, _ in decoded("next_title_from_sids"))
    assert all("Thing" not in prompt and "<a_" not in prompt for prompt, _ in decoded("next_category"))


def test_attributes_are_columns_that_items_share() -> None:
    assert MATERIAL.attributes == ("brand", "categories")
    assert MATERIAL.category == "categories"
    asked = task_questions("attributes_to_sid", MATERIAL)
    expected = [
        {
            "attributes": [
                {"name": name, "value": COLUMNS[name][item]} for name in MATERIAL.attributes if COLUMNS[name][item]
            ]
        }
        for item in range(N)
    ]
    assert [asked.values(row) for row in range(len(asked))] == [row for row in expected if row["attributes"]]


def test_tasks_that_the_catalogue_cannot_serve_are_named() -> None:
    bare = Material(HISTORIES, Catalogue(CATALOGUE.ids), SIDS)
    for name in ("title_to_sid", "sid_to_title", "next_title", "next_title_from_sids", "next_item_from_titles"):
        with pytest.raises(DataError, match="none of the 30 items has a title"):
            task_questions(name, bare)
    for name in ("attributes_to_sid", "next_category"):
        with pytest.raises(DataError, match="has the columns none, and items share the values of none"):
            task_questions(name, bare)
    lonely = Material(Histories.from_lists([[1], [2]]), CATALOGUE, SIDS)
    with pytest.raises(DataError, match="the task 'next_item' finds no row in 2 training histories and 30 items"):
        task_questions("next_item", lonely)


STRANGER = '''"""Who made it: a title, answered by a brand."""
from pathlib import Path
import numpy as np
from agentrec.prompts.questions import item_questions

class Maker:
    folder = Path(__file__).parent / "prompts"

    def questions(self, material):
        items = np.flatnonzero([bool(brand) for brand in material.column("brand")])
        return item_questions(material, items, {"title": material.texts("title", items)}, "brand")

METHOD = Maker
'''


def test_a_task_of_another_package_is_one_file_and_its_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_tasks.py").write_text(STRANGER)
    (tmp_path / "prompts/sft").mkdir(parents=True)
    (tmp_path / "prompts/sft/maker_system.md").write_text("---\nvariables: []\nversion: 1\n---\nName the brand.\n")
    (tmp_path / "prompts/sft/maker_user.md").write_text(
        "---\nvariables: [title]\nversion: 1\n---\nWho made {{ title }}\n"
    )
    info = tmp_path / "my_tasks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_tasks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agentrec.prompts.tasks]\nmaker = my_tasks\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for cached in ("_local", "_foreign"):
        TASKS.__dict__.pop(cached, None)
    try:
        assert parse_tasks("maker=0.5") == {"maker": 0.5}
        prompt, answer = decoded("maker")[0]
        assert "Name the brand." in prompt
        assert "Who made Thing 0 (model 0)." in prompt
        assert answer == "Acme<|im_end|>"
    finally:
        TASKS.__dict__.pop("_foreign", None)
