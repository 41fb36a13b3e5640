"""A trained generator behind an engine that is picked by name; when it dies another is made, with the same named sets.

Only the tree engine reads the weights here. The engines of vLLM read them themselves, so that they lie in memory once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrec.core.artefact import local_folder, read_manifest
from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.core.files import read_json
from agentrec.core.types import Catalogue
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.sets.files import holds_no_sets
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.models.generator import SIDS
from agentrec.prompts.forms import Form, build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.engines.protocol import Engine

ENGINES = ("tree", "vllm", "vllm-http")


@dataclass(frozen=True)
class Served:
    """A generator that is ready to be served.

    Attributes:
        vocabulary: semantic IDs of the items.
        form: how histories become prompts.
        num_beams: the model's own beam width.
        build: makes an engine that is not yet started; all of them share their named sets.
    """

    vocabulary: SIDVocabulary
    form: Form
    num_beams: int
    build: Callable[[], Engine]


@dataclass(frozen=True)
class Server:
    """A vLLM server that runs already.

    Attributes:
        url: without ``/v1``.
        key: its API key; empty for none.
        sets: the folder that it reads named sets from, its ``AGENTREC_SETS``.
    """

    url: str
    key: str = ""
    sets: Path | None = None


def served(
    engine: str,
    folder: str | Path,
    catalogue: Catalogue,
    *,
    sets: str | Path | None = None,
    server: Server | None = None,
) -> Served:
    """Open a generator for an engine.

    Args:
        engine: one of `ENGINES`.
        folder: of the generator.
        catalogue: the items it was trained on.
        sets: folder of named sets to begin with, as `ConstraintSets.save` writes it, or an empty one.
        server: where the engine ``vllm-http`` finds its server.

    Raises:
        UnknownNameError: there is no such engine.
        ConfigError: a server is given to an engine that uses none, or none to the one that does.
        ArtefactError: a folder holds something else.
    """
    if engine not in ENGINES:
        raise UnknownNameError(f"there is no engine {engine!r}; those that exist are {', '.join(ENGINES)}")
    if (server is None) == (engine == "vllm-http"):
        address = "missing" if server is None else repr(server.url)
        raise ConfigError(
            f"the engine is {engine!r} and the address of a vLLM server is {address}; expected an address "
            "with 'vllm-http', and with no other"
        )
    return _tree(folder, catalogue, sets) if engine == "tree" else _vllm(folder, catalogue, sets, server)


def _tree(folder: str | Path, catalogue: Catalogue, sets: str | Path | None) -> Served:
    from agentrec.serving.engines.tree import TreeEngine
    from agentrec.serving.generative import GenerativeRecommender

    recommender = GenerativeRecommender.load(folder, catalogue=catalogue)
    named = _sets(recommender.index, sets)
    beams, form = recommender.num_beams, recommender.form
    return Served(recommender.vocabulary, form, beams, lambda: TreeEngine(recommender, named))


def _vllm(folder: str | Path, catalogue: Catalogue, sets: str | Path | None, server: Server | None) -> Served:
    from transformers import AutoTokenizer

    folder = local_folder(folder)
    config = read_manifest(folder)["config"]
    vocabulary = SIDVocabulary.from_pretrained(folder / SIDS)
    vocabulary.matches(catalogue.ids)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    texts = [vocabulary.text(item) for item in range(vocabulary.num_items)]
    form = build_form(config["form"], tokenizer, vocabulary.item_token_ids(tokenizer), texts, catalogue.titles)
    named = _sets(StaticIndex.build(vocabulary.codes, vocabulary.level_sizes), sets)
    build = _http_builder(folder, named, server) if server else _local_builder(folder, named, config)
    return Served(vocabulary, form, config.get("num_beams", 20), build)


def _local_builder(folder: Path, sets: ConstraintSets, config: Mapping[str, Any]) -> Callable[[], Engine]:
    """Engines that run the model as the tree engine does; left to itself, vLLM runs float32 weights in half of that."""
    from agentrec.serving.engines.vllm_local import VllmConfig, VllmEngine

    weights = read_json(folder / "config.json")
    own = weights.get("dtype") or weights.get("torch_dtype") or "auto"
    precision = VllmConfig(dtype="bfloat16" if config.get("bf16") else own)
    return lambda: VllmEngine(folder, sets, config=precision)


def _http_builder(folder: Path, sets: ConstraintSets, server: Server) -> Callable[[], Engine]:
    from agentrec.serving.engines.vllm_http import HttpConfig, HttpEngine

    config = HttpConfig(url=server.url, key=server.key)
    return lambda: HttpEngine(folder, sets, sets_folder=server.sets, config=config)


def _sets(index: StaticIndex, folder: str | Path | None) -> ConstraintSets:
    """Named sets over an index, from a folder where there is one; an empty one has none yet."""
    if folder is None or holds_no_sets(folder):
        return ConstraintSets(index)
    return ConstraintSets.load(folder, index)
