"""What the README shows is true: its Python runs, its commands and files exist."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from agentrec import Shop
from agentrec.cli.app import app
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes, tiny_generator

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_python_runs(capsys) -> None:
    code, _ = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    scores = {name: metrics["ndcg@10"].mean for name, metrics in names["result"].systems.items()}
    assert scores["oracle"] > scores["transitions"] > 0.1
    assert "oracle" in capsys.readouterr().out


def test_the_constraint_sets_hold(tmp_path: Path) -> None:
    _, code = blocks("python")
    catalogue = Shop.generate().dataset.catalogue
    codes = random_codes(4000, (16, 16, 16))[: len(catalogue.ids)]
    vocabulary = SIDVocabulary(codes, (16, 16, 16), catalogue.ids)
    model, tokenizer = tiny_generator(vocabulary)
    tokens = vocabulary.item_token_ids(tokenizer)
    form = build_form({"form": "sequence", "max_items": 10}, tokenizer, tokens, [], [])
    GenerativeRecommender(model, tokenizer, vocabulary, form).save_pretrained(tmp_path / "generator")
    assert "runs/quickstart/generator" in code
    code = code.replace("runs/quickstart/generator", str(tmp_path / "generator"))
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    found = names["lists"].items
    assert found.min() >= 0
    assert not (found % 2).any()
    assert not np.isin(found, [4, 8]).any()


def test_every_verb_and_option_exists() -> None:
    lines = [line.split("#")[0] for block in blocks("bash") for line in block.replace("\\\n", "").splitlines()]
    verbs = [line.split() for line in lines if line.startswith("agentrec ")]
    assert len(verbs) >= 6
    for words in verbs:
        path = [word for word in words[1:3] if re.fullmatch(r"[a-z][a-z0-9]*", word)]
        path = path if words[1] in {"data", "sids", "train", "eval", "agent"} else path[:1]
        done = CliRunner().invoke(app, [*path, "--help"], terminal_width=200)
        assert done.exit_code == 0, words
        help_text = done.output
        for option in (word for word in words if word.startswith("--")):
            assert option in help_text, (words, option)


def test_every_file_named_exists() -> None:
    names = re.findall(r"`((?:agentrec|scripts|evals|prompts)/[\w./-]+)`", TEXT) + re.findall(
        r"bash (scripts/[\w.]+)", TEXT
    )
    assert len(names) >= 8
    assert [name for name in names if not (README.parent / name).exists()] == []
