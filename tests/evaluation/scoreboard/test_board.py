import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from agentrec.cli.scoreboard import register
from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError
from agentrec.evaluation.measured import Measured
from agentrec.evaluation.merge import Resampling, merge
from agentrec.evaluation.result import Estimate
from agentrec.evaluation.scoreboard.board import (
    BOARD,
    NO_CLAIM,
    README,
    Scoreboard,
    papers_table,
    problems,
    rerun_lines,
    scoreboard_markdown,
    write_scoreboard,
)
from agentrec.evaluation.scoreboard.claim import Claim, check_command, verdict_of
from agentrec.evaluation.scoreboard.recipe_rows import RECIPES
from agentrec.evaluation.scoreboard.record import RESULTS, Wanted, claim_of, record
from agentrec.evaluation.scoreboard.systems import Entry
from agentrec.evaluation.scoreboard.verdict import Bar, verdict_at
from agentrec.evaluation.task import Metric, System, Task

COMMAND = "agentrec eval run game --data $AGENTREC_DATA/game --out runs/game"
ENTRY = Entry("Mine", "a system", "mine.py", "equals a loop", ("test_mine.py",))
SYSTEMS = """
mine: {name: Mine, what: the | new one, paper: A paper, arxiv: "2601.00001", file: mine.py, proof: equals a loop,
  tests: [test_mine.py]}
other: {name: Other, what: an old one, file: mine.py, proof: equals a loop, tests: [test_mine.py]}
"""
THIRD = "\nthird: {name: Third, what: exact, file: mine.py, proof: all, tests: [test_mine.py], unmeasured: proved}\n"
MARKED = "intro\n<!-- {0} -->\n<!-- /{0} -->\nend\n"


def played(levels, *, better="higher", num_seeds=1, noise=0.1, settings=None, problem=()):
    """A result whose systems have the given mean on 60 units; a list of levels is one per seed."""
    units = pd.DataFrame({"unit": [f"u{row}" for row in range(60)]})
    task = Task(
        "Who plays better?",
        {"name": "game", "fingerprint": "abcd", "path": "secret"},
        units,
        (Metric("score", better, headline=True), Metric("valid"), Metric("style", "neither", headline=True)),
        {label: System(lambda seed: seed, {"label": label}) for label in levels},
        lambda system, progress=False: Measured(units),
        settings=settings or {"part": "test"},
    )
    rng = np.random.default_rng(3)
    measured = {
        label: {
            seed: Measured(
                units.assign(score=level + noise * rng.standard_normal(60), valid=1.0, style=rng.random(60)),
                problems=problem,
            )
            for seed, level in enumerate(np.broadcast_to(level, num_seeds).tolist())
        }
        for label, level in levels.items()
    }
    result = merge("game", task, measured, resampling=Resampling(200))
    return result.with_provenance(code="c0de")


def claimed(result, **changes):
    wanted = Wanted(**{"system": "mine", "metric": "score", "command": COMMAND, "against": "other", **changes})
    return claim_of(result, wanted, ENTRY, where="runs/game", machine={"cores": 2})


@pytest.fixture
def root(tmp_path):
    """A small repository: two systems, no claim yet."""
    (tmp_path / "evals" / "results").mkdir(parents=True)
    (tmp_path / "evals" / "systems.yaml").write_text(SYSTEMS)
    (tmp_path / BOARD).write_text(MARKED.format("scoreboard:tasks") + MARKED.format("scoreboard:results"))
    (tmp_path / README).write_text(MARKED.format("scoreboard:papers"))
    for name in ("mine.py", "test_mine.py", "pyproject.toml"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.fixture
def board(root):
    """The same with two claims, one that holds and one that fails, and fresh tables."""
    result = played({"mine": 0.6, "other": 0.2})
    for wanted in (
        Wanted("mine", "score", COMMAND, against="other"),
        Wanted("other", "score", COMMAND, against="mine"),
    ):
        claim_of(result, wanted, ENTRY, where="runs/game", machine={}).write(root / RESULTS)
    write_scoreboard(root)
    return root


@pytest.mark.parametrize("order", [("mine", "other"), ("other", "mine")])
@pytest.mark.parametrize(
    ("better", "mine", "verdict"),
    [
        ("higher", 0.8, "holds"),
        ("higher", 0.2, "fails"),
        ("higher", 0.5, "flat"),
        ("lower", 0.2, "holds"),
        ("lower", 0.8, "fails"),
        ("lower", 0.5, "flat"),
    ],
)
def test_the_verdict_follows_from_difference_and_direction(order, better, mine, verdict):
    levels = {"mine": mine, "other": 0.5}
    claim = claimed(played({label: levels[label] for label in order}, better=better))
    assert claim.verdict == verdict_of(claim) == verdict
    difference, low, high = claim.advantage
    assert low <= difference <= high
    assert difference == pytest.approx(claim.estimate.mean - claim.figures["other"]["score"].mean)


def test_seeds_that_disagree_make_a_claim_flat():
    agreeing = played({"mine": [0.80, 0.70, 0.75], "other": [0.50, 0.52, 0.51]}, num_seeds=3, noise=0.02)
    differing = played({"mine": [0.95, 0.95, 0.45], "other": [0.50, 0.50, 0.50]}, num_seeds=3, noise=0.02)
    assert claimed(agreeing).verdict == "holds"
    assert differing["mine"]["score"] > differing["other"]["score"] + 0.2
    assert claimed(differing).verdict == "flat"


@pytest.mark.parametrize(
    ("bar", "estimate", "verdict"),
    [
        (">= 0.9", (0.95, 0.92, 0.98), "holds"),
        (">= 0.9", (0.95, 0.90, 0.98), "holds"),
        (">= 0.9", (0.95, 0.89, 0.98), "flat"),
        (">= 0.9", (0.80, 0.70, 0.89), "fails"),
        (">= 0.9", (0.89, None, None), "fails"),
        ("<= 0.1", (0.05, 0.01, 0.09), "holds"),
        ("<= 0.1", (0.05, 0.01, 0.11), "flat"),
        ("<= 0.1", (0.15, 0.11, 0.19), "fails"),
        ("= 1", (1.0, 1.0, 1.0), "holds"),
        ("= 1", (1.0, None, None), "holds"),
        ("= 1", (0.9999, 0.9995, 1.0), "fails"),
    ],
)
def test_the_verdict_at_a_bar_takes_the_whole_interval(bar, estimate, verdict):
    assert verdict_at(Bar.parse(bar), Estimate(*estimate)) == verdict


@given(st.sampled_from([">=", "<=", "="]), st.floats(allow_nan=False, allow_infinity=False))
def test_bars_survive_their_text(relation, value):
    assert Bar.parse(str(Bar(relation, value))) == Bar(relation, value)


@pytest.mark.parametrize("text", ["", "0.9", "> 0.9", ">= many", ">= nan", "= 1 2", "= e"])
def test_what_is_no_bar_is_refused(text):
    with pytest.raises(ConfigError, match="expected >=, <= or ="):
        Bar.parse(text)


def test_a_claim_at_a_bar_has_its_figures():
    claim = claimed(played({"mine": 0.5}), against=None, bar=Bar("=", 1.0), metric="valid")
    assert (claim.verdict, claim.comparison, claim.advantage) == ("holds", None, None)
    assert set(claim.figures["mine"]) == {"score", "style", "valid"}
    assert claim.name == "game--game--mine-valid"
    assert claim.claim == "Mine keeps valid = 1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "nobody"}, "no system 'nobody'.*mine, other"),
        ({"against": "nobody"}, "no system 'nobody'"),
        ({"metric": "speed"}, "no metric 'speed'.*score"),
        ({"metric": "valid"}, "does not compare"),
        ({"metric": "style"}, "does not compare"),
        ({"against": "mine"}, "does not compare"),
        ({"against": None}, "either another system or a bar"),
        ({"bar": Bar("=", 1.0)}, "either another system or a bar"),
        ({"command": "agentrec eval run game --data " + "/data/game"}, "names '/data/game'"),
    ],
)
def test_claims_that_do_not_fit_the_result_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        claimed(played({"mine": 0.6, "other": 0.2}), **changes)


def test_results_with_problems_or_of_unknown_making_are_refused():
    with pytest.raises(ConfigError, match=r"2 problems, the first: mine: it leaks"):
        claimed(played({"mine": 0.6, "other": 0.2}, problem=("it leaks",)))
    with pytest.raises(ConfigError, match="does not say its code"):
        claimed(played({"mine": 0.6, "other": 0.2}).with_provenance(code=None))


@pytest.mark.parametrize(
    "command",
    [
        COMMAND,
        "agentrec run amazon_scientific --out runs/a --set index=${AGENTREC_DATA}/a/index.json",
        "agentrec data prepare a.csv --out runs/data && agentrec eval run game --data runs/data",
        "agentrec eval run game --recommender mine=http://localhost:8000/v1,popularity",
    ],
)
def test_commands_that_anybody_can_give_pass(command):
    check_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "  ",
        "agentrec eval run 'game",
        "agentrec\nlist",
        "agentrec eval run --data " + "/home" + "/me/data",
        "agentrec eval run --recommender popularity,mine=" + "/home" + "/me/model",
        "agentrec eval run --data=~/data",
        "agentrec eval run --data $HOME/data",
        "agentrec eval run --data 'C:\\data'",
        "agentrec eval run --data file:///data",
    ],
)
def test_commands_of_one_machine_are_refused(command):
    with pytest.raises(ConfigError):
        check_command(command)


def test_what_is_written_is_small_whole_and_read_again(root):
    claim = claimed(played({"mine": 0.6, "other": 0.2, "third": 0.4}, num_seeds=3, settings={"limit": 60}))
    path = claim.write(root / RESULTS)
    assert path.name == "game--game--mine-vs-other-score.json"
    assert path.stat().st_size < 10_000
    assert "secret" not in path.read_text()
    assert Claim.read(path) == claim
    assert (claim.limit, claim.num_units, claim.seeds["mine"], claim.date[:2]) == (60, 60, [0, 1, 2], "20")


def test_a_file_that_would_be_large_is_refused(root):
    result = played({"mine": 0.6, "other": 0.2}).with_provenance(versions={"library": "1." * 5000})
    with pytest.raises(ConfigError, match="fewer systems at once"):
        claimed(result).write(root / RESULTS)
    assert not list((root / RESULTS).iterdir())


def test_a_claim_is_replaced_by_itself_only(root):
    claimed(played({"mine": 0.6, "other": 0.2}), name="a").write(root / RESULTS)
    path = claimed(played({"mine": 0.2, "other": 0.6}), name="a").write(root / RESULTS)
    assert Claim.read(path).verdict == "fails"
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"another claim.*choose another name"):
        claimed(played({"mine": 0.6, "third": 0.2}), name="a", against="third").write(root / RESULTS)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(verdict="flat"), "says 'flat' and its figures say 'holds'"),
        (lambda content: content["comparison"].update(holm=0.2), "says 'holds' and its figures say 'flat'"),
        (lambda content: content.update(verdict="great"), "great"),
        (lambda content: content.pop("figures"), "figures"),
        (lambda content: content.update(opinion="good"), "opinion"),
        (lambda content: content["figures"].pop("other"), "'other', which its figures lack"),
        (lambda content: content["comparison"].update(first="third"), "compares"),
        (lambda content: content.update(comparison=None), "expected either another system"),
        (lambda content: content.update(format=7), "format 1"),
    ],
)
def test_a_file_changed_by_hand_is_refused(board, change, message):
    path = next((board / RESULTS).glob("*mine-vs-other*"))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtefactError, match=message):
        Claim.read(path)
    assert len(problems(board)) == 1


def test_a_complete_and_fresh_scoreboard_has_no_problem(board):
    assert problems(board) == []
    assert (board / BOARD).read_text() == scoreboard_markdown(board)
    assert write_scoreboard(board) == []


def test_the_tables_say_what_was_measured(board):
    text = (board / BOARD).read_text()
    claims = [line for line in text.splitlines() if "is ahead of" in line]
    assert len(claims) == 2
    assert "**holds**" in claims[0]
    assert "**fails**" in claims[1]
    assert "[Mine](../mine.py); [A paper](https://arxiv.org/abs/2601.00001)" in claims[0]
    holds = Claim.read(board / RESULTS / "game--game--mine-vs-other-score.json")
    mean, low, high, _ = holds.estimate
    assert f"score {mean:.4f} ({low:.4f} to {high:.4f})" in claims[0]
    assert f"+{holds.advantage[0]:.4f} (" in claims[0]
    assert f"−{holds.advantage[0]:.4f} (−{holds.advantage[2]:.4f} to −{holds.advantage[1]:.4f})" in claims[1]
    assert text.count(COMMAND) == 1  # one run, folded away, with the figures of every system
    assert len(re.findall(r"^\| `(?:mine|other)` \|", text, flags=re.MULTILINE)) == 2
    paper = (board / README).read_text()
    assert "the \\| new one" in paper
    assert "| equals a loop ([`test_mine.py`](test_mine.py)) |" in paper
    assert "(evals/results/game--game--other-vs-mine-score.json): **fails** (game)" in paper


def test_a_limit_that_left_nobody_out_is_none():
    assert claimed(played({"mine": 0.6, "other": 0.2}, settings={"limit": 60})).limit == 60
    assert claimed(played({"mine": 0.6, "other": 0.2}, settings={"limit": 61})).limit is None
    configured = played({"mine": 0.6, "other": 0.2}).with_provenance(task={"config": {"limit": 60}})
    assert claimed(configured).limit == 60


def test_flat_and_partial_results_are_marked(root):
    result = played({"mine": 0.505, "other": 0.5}, num_seeds=2, settings={"limit": 60})
    claimed(result).write(root / RESULTS)
    text = scoreboard_markdown(root)
    assert re.search(r"\*\*flat\*\*, [12] of 2 seeds agree.*; partial: 60 units drawn under a limit", text)
    assert re.search(r"score 0\.\d{4} \(.*\), ± 0\.\d+ over 2 seeds", text)


def test_the_output_does_not_depend_on_the_order_of_files(board, monkeypatch):
    fresh = scoreboard_markdown(board)
    names = sorted(path.name for path in (board / RESULTS).iterdir())
    contents = {name: (board / RESULTS / name).read_bytes() for name in names}
    for name in reversed(names):
        (board / RESULTS / name).unlink()
    for name in reversed(names):
        (board / RESULTS / name).write_bytes(contents[name])
    assert scoreboard_markdown(board) == fresh


def test_a_changed_figure_is_found_and_mended(board):
    fresh = (board / BOARD).read_bytes()
    (board / BOARD).write_text((board / BOARD).read_text().replace("**fails**", "**holds**"))
    assert problems(board) == [f"{BOARD} is stale in 'scoreboard:results'; run `agentrec eval scoreboard --write`"]
    assert write_scoreboard(board) == [BOARD]
    assert (board / BOARD).read_bytes() == fresh


def test_a_row_without_its_result_is_found(board):
    (board / RESULTS / "game--game--other-vs-mine-score.json").unlink()
    found = "\n".join(problems(board))
    for file in (BOARD, README):
        assert f"{file} has a row for {RESULTS}/game--game--other-vs-mine-score.json, which does not exist" in found
    assert "'other' has no file in evals/results" in found
    assert "is stale in 'scoreboard:papers'" in found


@pytest.mark.parametrize("name", ["mine.py", "test_mine.py"])
def test_a_missing_source_file_is_found(board, name):
    (board / name).unlink()
    found = problems(board)
    assert [text for text in found if "'mine'" in text] == [
        f"evals/systems.yaml: 'mine' names {name}, which does not exist; correct the path"
    ]
    assert len(found) == 2  # the other system lives there too


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SYSTEMS.replace("other:", "another:"), "about 'other', which evals/systems.yaml lacks"),
        (SYSTEMS.replace("file: mine.py", "path: mine.py"), "no setting 'path'"),
        (SYSTEMS.replace("tests: [test_mine.py]", "tests: []"), "'mine' lacks 'tests'"),
        ("mine: yes\n", "expected a mapping"),
    ],
)
def test_mistakes_in_the_list_of_systems_are_found(board, content, message):
    (board / "evals" / "systems.yaml").write_text(content)
    (found,) = problems(board)
    assert message in found


def test_a_changed_or_lost_row_of_a_recipe_is_found(root):
    recipe = root / RECIPES / "game.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("recommenders: {mine: {}, other: {}}")
    folder = root / "runs" / "game"
    played({"mine": 0.6, "other": 0.2}).save(folder)
    path = record(folder, Wanted("mine", "score", f"{COMMAND} --recommender recipe:game:mine", against="other"), root)
    record(folder, Wanted("other", "score", COMMAND, against="mine"), root)
    write_scoreboard(root)
    assert problems(root) == []

    recipe.write_text("recommenders: {mine: {}, other: {training: {epochs: 2}}}")
    assert problems(root) == []
    recipe.write_text("recommenders: {mine: {training: {epochs: 2}}, other: {}}")
    (problem,) = problems(root)
    assert path.name in problem
    assert "'game:mine' of a recipe, which has changed or is gone" in problem
    recipe.unlink()
    assert problems(root) == [problem]

    recipe.write_text("recommenders: {mine: {}, other: {}}")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "recipe_rows": {}}))
    assert problems(root) == [problem]


def test_lost_markers_and_files_are_found(board):
    (board / BOARD).write_text("nothing here\n")
    (board / README).unlink()
    found = problems(board)
    assert len(found) == 2
    assert "expected a line <!-- scoreboard:tasks -->" in found[0]
    assert found[1] == "README.md does not exist; restore it"


def test_a_scoreboard_without_claims_says_so(root):
    write_scoreboard(root)
    assert NO_CLAIM in (root / BOARD).read_text()
    assert papers_table(Scoreboard.read(root)).count(NO_CLAIM) == 2
    assert len(problems(root)) == 2


def test_a_system_without_claims_may_say_why(board):
    systems = board / "evals" / "systems.yaml"
    systems.write_text(SYSTEMS + THIRD)
    assert write_scoreboard(board) == [README]
    assert "| proved |" in (board / README).read_text()
    assert problems(board) == []
    systems.write_text(SYSTEMS.replace("mine: {", "mine: {unmeasured: proved, "))
    write_scoreboard(board)
    (found,) = problems(board)
    assert "remove `unmeasured`" in found


def test_recording_reads_a_saved_result(root, tmp_path_factory):
    result = played({"mine": 0.6, "other": 0.2})
    folder = result.save(root / "runs" / "game")
    path = record(folder, Wanted("mine", "score", COMMAND, against="other"), root)
    claim = Claim.read(path)
    assert (claim.result, claim.verdict, claim.system) == ("runs/game", "holds", "mine")
    assert claim.machine["cores"] >= 1
    assert claim.figures["mine"]["score"] == result.systems["mine"]["score"]
    with pytest.raises(ConfigError, match="no system 'nobody'; those that exist are mine, other"):
        record(folder, Wanted("nobody", "score", COMMAND, against="other"), root)
    with pytest.raises(ConfigError, match="inside"):
        record(tmp_path_factory.mktemp("elsewhere"), Wanted("mine", "score", COMMAND, against="other"), root)
    with pytest.raises(ArtefactError, match="does not exist"):
        record(root / "runs" / "none", Wanted("mine", "score", COMMAND, against="other"), root)


@pytest.fixture
def invoke():
    app = Typer()
    register(app)

    def call(*words):
        return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)

    return call


def test_the_commands_listed_record_the_same_claims_again(root, invoke, monkeypatch):
    played({"mine": 0.6, "other": 0.2}).save(root / "runs" / "game")
    monkeypatch.chdir(root)
    options = ("--metric", "score", "--command", COMMAND, "--root", root)
    done = invoke("record", "runs/game", "--system", "mine", "--against", "other", *options, "--json")
    assert json.loads(done.output.splitlines()[-1])["verdict"] == "holds"
    at_bar = ("--system", "other", "--bar", "<= 0.4", "--claim", 'It\'s low, "really"', "--name", "low")
    assert "fails" not in invoke("record", "runs/game", *at_bar, *options).output
    command, *lines = invoke("scoreboard", "--commands", "--root", root).output.splitlines()
    assert command == COMMAND
    assert len(lines) == 2
    before = {path.name: path.read_bytes() for path in (root / RESULTS).iterdir()}
    for path in (root / RESULTS).iterdir():
        path.unlink()
    for line in lines:
        assert shlex.split(line)[:3] == ["agentrec", "eval", "record"]
        assert invoke(*shlex.split(line)[2:], "--root", root).exit_code == 0
    assert {path.name: path.read_bytes() for path in (root / RESULTS).iterdir()} == before
    assert list(rerun_lines(Scoreboard.read(root), "low"))[1:] == [line for line in lines if "--bar" in line]
    assert list(rerun_lines(Scoreboard.read(root), "nothing")) == []


def test_the_scoreboard_verb(board, invoke):
    assert invoke("scoreboard", "--root", board).output == (board / BOARD).read_text()
    assert invoke("scoreboard", "--check", "--root", board).exit_code == 0
    (board / BOARD).write_text((board / BOARD).read_text().replace("**fails**", "**holds**"))
    checked = invoke("scoreboard", "--check", "--root", board)
    assert checked.exit_code == 1
    assert "stale" in checked.output
    assert f"written: {BOARD}" in invoke("scoreboard", "--write", "--root", board).output
    assert "nothing to do" in invoke("scoreboard", "--write", "--root", board).output
    with pytest.raises(AgentrecError, match="exclude each other"):
        invoke("scoreboard", "--check", "--write", "--root", board)
