"""The house rules that a machine can check, each tried on code that breaks it, then on this repository."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import agentrec
from agentrec.core.resources import CHECKOUT

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "agentrec").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FUNCTION_CAP = 60
HEAVY = ("torch", "vllm", "transformers", "trl", "pandas", "sklearn", "matplotlib")
# Folders that exist on somebody's machine only; /usr, /etc, /proc and /dev are the same everywhere.
MACHINE_PATH = re.compile(r"(?<![\w.:/~$}])/(?:home|Users|root|work|workspace|tmp|opt|mnt|srv|private|scratch)/[\w.-]+")


def file_cap(name: str) -> int:
    if name.startswith("tests/"):
        return 600
    return 500 if name.startswith("agentrec/training/") else 400


def missing_docstring(name: str, source: str) -> Iterator[str]:
    if not ast.get_docstring(ast.parse(source)):
        yield "the module has no docstring"


def too_long(name: str, source: str) -> Iterator[str]:
    if (lines := len(source.splitlines())) > file_cap(name):
        yield f"{lines} lines; the cap is {file_cap(name)}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_CAP:
                yield f"{node.name} has {length} lines; the cap is {FUNCTION_CAP}"


def printing(name: str, source: str) -> Iterator[str]:
    if name.startswith("agentrec/cli/"):
        return
    yield from (f"line {line}: print" for line, called in calls(source) if called == "print")


def unsafe(name: str, source: str) -> Iterator[str]:
    """What runs code found in data: pickle and its carriers, eval and exec."""
    forbidden = {"eval", "exec", "torch.load", "pandas.read_pickle", "pd.read_pickle", "joblib.load"}
    yield from (f"line {line}: {called}" for line, called in calls(source) if called in forbidden)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {name}" for name in names if name in ("pickle", "cloudpickle", "dill", "marshal"))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield f"line {node.lineno}: allow_pickle"
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and ast.unparse(node.value) != "False":
            yield f"line {node.lineno}: trust_remote_code"


def unmannered(name: str, source: str) -> Iterator[str]:
    """What a library must leave to the program that uses it; a seed inside torch's `fork_rng` stays there."""
    forbidden = {"logging.basicConfig", "np.random.seed", "random.seed", "torch.manual_seed", "os.environ.setdefault"}
    nodes = list(ast.walk(ast.parse(source)))
    forks = [node for node in nodes if isinstance(node, ast.With) and "fork_rng" in ast.unparse(node.items[0])]
    within = {line for fork in forks for line in range(fork.lineno, (fork.end_lineno or fork.lineno) + 1)}
    for line, called in calls(source):
        if called in forbidden and not (called == "torch.manual_seed" and line in within):
            yield f"line {line}: {called}"
    for node in nodes:
        stored = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        if stored and ast.unparse(node.value) == "os.environ":
            yield f"line {node.lineno}: sets an environment variable"


def calls(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def machine_paths(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        yield from (f"line {number}: {hit}" for hit in MACHINE_PATH.findall(line))


def complaints(rule, files: list[Path]) -> list[str]:
    found = []
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        found += [f"{name}: {complaint}" for complaint in rule(name, file.read_text(encoding="utf-8"))]
    return found


BROKEN = [
    (missing_docstring, "agentrec/a.py", "import os\n"),
    (too_long, "agentrec/a.py", "x = 1\n" * 401),
    (too_long, "agentrec/training/a.py", "x = 1\n" * 501),
    (too_long, "tests/a.py", "x = 1\n" * 601),
    (too_long, "agentrec/a.py", "def f():\n" + "    x = 1\n" * 60),
    (printing, "agentrec/core/a.py", "print(1)"),
    (unsafe, "agentrec/a.py", "import pickle"),
    (unsafe, "agentrec/a.py", "from pickle import loads"),
    (unsafe, "agentrec/a.py", "torch.load('x')"),
    (unsafe, "agentrec/a.py", "np.load('x', allow_pickle=True)"),
    (unsafe, "agentrec/a.py", "eval('1')"),
    (unsafe, "agentrec/a.py", "exec('1')"),
    (unsafe, "agentrec/a.py", "load(x, trust_remote_code=True)"),
    (unmannered, "agentrec/a.py", "np.random.seed(0)"),
    (unmannered, "agentrec/a.py", "with torch.random.fork_rng():\n    pass\ntorch.manual_seed(0)"),
    (unmannered, "agentrec/a.py", "os.environ['A'] = '1'"),
    (machine_paths, "a.md", "see " + "/home" + "/me/data"),
]
FINE = [
    (too_long, "agentrec/training/a.py", "x = 1\n" * 500),
    (too_long, "agentrec/a.py", "def f():\n" + "    x = 1\n" * 59),
    (printing, "agentrec/cli/a.py", "print(1)"),
    (unsafe, "agentrec/a.py", "model.eval(); np.load('x', allow_pickle=False)"),
    (unmannered, "agentrec/a.py", "rng = np.random.default_rng(0); home = os.environ['HOME']"),
    (unmannered, "agentrec/a.py", "with torch.random.fork_rng(devices=[]):\n    torch.manual_seed(0)"),
    (machine_paths, "a.md", "https://example.org/home/page and data/work/x and /usr/bin/env"),
]


@pytest.mark.parametrize(("rule", "name", "source"), BROKEN)
def test_rules_catch_what_breaks_them(rule, name, source):
    assert list(rule(name, source))


@pytest.mark.parametrize(("rule", "name", "source"), FINE)
def test_rules_let_pass_what_is_fine(rule, name, source):
    assert not list(rule(name, source))


@pytest.mark.parametrize("rule", [missing_docstring, too_long, printing, unsafe, unmannered])
def test_the_package_keeps_the_rule(rule):
    assert PACKAGE
    assert complaints(rule, PACKAGE) == []


def test_tests_keep_to_their_length():
    assert complaints(too_long, TESTS) == []


def test_no_committed_file_names_a_path_of_one_machine():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so what is committed is unknown")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert complaints(machine_paths, [file for file in map(ROOT.joinpath, listed.split("\0")) if is_text(file)]) == []


def is_text(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        return bool(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return False


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "action",
    [
        "import agentrec",
        "import agentrec.cli.app",
        "import agentrec.cli.app as app; sys.argv = ['agentrec', '--help']; app.main()",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(action):
    report = f"print('loaded:', *sorted(set(sys.modules) & {set(HEAVY)!r}))"
    assert python(f"import atexit, sys\natexit.register(lambda: {report})\n{action}").splitlines()[-1] == "loaded:"


def test_help_works_from_the_command_line():
    done = subprocess.run([sys.executable, "-m", "agentrec", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_every_public_name_exists():
    assert "evaluate" in agentrec.__all__
    assert [name for name in agentrec.__all__ if getattr(agentrec, name, None) is None] == []


def test_the_changelog_speaks_of_this_version():
    assert agentrec.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_extras_named_in_messages_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    naming = re.compile(r"""(?:require\("\w+", ?"|agentrec\[)([\w-]+)[\]"]""")
    named = {extra for file in PACKAGE for extra in naming.findall(file.read_text(encoding="utf-8"))}
    assert named <= set(extras)


def test_the_wheel_ships_every_folder_the_package_looks_for():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = wheel["tool"]["hatch"]["build"]["targets"]["wheel"]
    expected = {folder: f"agentrec/_shipped/{name}" for name, folder in CHECKOUT.items()}
    assert wheel["sources"] == expected
    assert set(wheel["only-include"]) == {"agentrec", *expected}
    assert [folder for folder in expected if not any((ROOT / folder).iterdir())] == []
