"""The one artefact format: a folder with ``agentrec.json``, ``*.safetensors``, and a model card.

``agentrec.json`` says which method of which room wrote it (``room``, ``method``), in which ``format``, with which
``config``, and what it was made from (``provenance``). Loading goes through the room's registry and never imports a
path named by a file, so that a downloaded folder cannot choose code. Built on huggingface_hub's mixin: every artefact
has ``save_pretrained``, ``from_pretrained`` (folder or hub name) and ``push_to_hub``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agentrec.core.errors import AgentrecError, ArtefactError
from agentrec.core.files import DISK_ERRORS, MANIFEST, read_json, whole_folder, write_json

FORMAT = 1
ARRAYS = "arrays.safetensors"

Arrays = dict[str, NDArray[Any]]

CARD = """---
library_name: agentrec
tags: [recommender-system, {room}, {method}]
---
# {method} ({room})

{summary}

```python
from {module} import {name}
artefact = {name}.from_pretrained("<this folder or repository>")
```

| setting | value |
|---|---|
{rows}
"""


class Artefact(ModelHubMixin):
    """Base of everything that is saved.

    A subclass names itself by ``room`` and ``method`` and implements `state` and `from_state`.
    """

    room: ClassVar[str]
    method: ClassVar[str]

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """The JSON-able config and the arrays that rebuild this object."""
        raise NotImplementedError

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Arrays) -> Self:
        """Rebuild from what `state` returned."""
        raise NotImplementedError

    @property
    def provenance(self) -> dict[str, Any]:
        """What this was made from (data hash, seed, versions); set with `stamp`."""
        return dict(self.__dict__.get("_provenance", {}))

    def stamp(self, provenance: Mapping[str, Any]) -> Self:
        """Remember what this was made from, and return self."""
        self.__dict__["_provenance"] = dict(provenance)
        return self

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> Any:
        """Write the folder; if that fails, an older folder of that name stays as it was.

        Args:
            save_directory: folder to write; its parent is created.
            kwargs: as `huggingface_hub.ModelHubMixin.save_pretrained` (``push_to_hub``, ``repo_id``).
        """
        with whole_folder(save_directory) as folder:
            self._save_pretrained(folder)
            self.generate_model_card().save(folder / "README.md")
        if kwargs.pop("push_to_hub", False):
            return self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
        return None

    def _save_pretrained(self, save_directory: Path) -> None:
        config, arrays = self.state()
        manifest = {"format": FORMAT, "room": self.room, "method": self.method}
        write_json(save_directory / MANIFEST, {**manifest, "config": config, "provenance": self.provenance})
        with writing_weights(save_directory):
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, save_directory / ARRAYS)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load from a folder, or from a repository of the hub.

        Args:
            pretrained_model_name_or_path: a local folder or a repository name.
            kwargs: for the hub only: ``revision``, ``token``, ``cache_dir``, ``force_download``, ``local_files_only``.

        Raises:
            ArtefactError: the folder is no artefact, of another kind, or truncated.
        """
        return cls._from_pretrained(model_id=str(pretrained_model_name_or_path), **kwargs)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **kwargs: Any) -> Self:
        folder = local_folder(model_id, **kwargs)
        manifest = read_manifest(folder)
        if (manifest["room"], manifest["method"]) != (cls.room, cls.method):
            raise ArtefactError(
                f"{folder} holds {manifest['room']}/{manifest['method']}; expected {cls.room}/{cls.method}, "
                "so point to another folder"
            )
        arrays = read_arrays(folder / ARRAYS)
        try:
            made = cls.from_state(manifest["config"], arrays)
        except (KeyError, TypeError, RuntimeError, IndexError) as error:
            raise ArtefactError(
                f"{folder} lacks or misspells a part ({' '.join(str(error).split())}); write or copy it again"
            ) from error
        return made.stamp(manifest["provenance"])

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The README of the folder, from the manifest."""
        config, _ = self.state()
        summary = (type(self).__doc__ or "").strip().partition("\n")[0]
        names = {"room": self.room, "method": self.method, "module": type(self).__module__, "name": type(self).__name__}
        return ModelCard(card_text({**config, **self.provenance}, summary=summary, **names))


def card_text(facts: Mapping[str, Any], **names: str) -> str:
    """The text of a model card: what it is, how to open it, and its facts, the long ones left out."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items() if len(str(value)) < 200)
    return CARD.format(rows=rows, **names)


@contextlib.contextmanager
def writing_weights(path: str | Path) -> Iterator[None]:
    """Give the errors by which safetensors and torch report a full disk one type.

    Raises:
        AgentrecError: weights could not be written under ``path``.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        text = str(error)
        said = any(words in text for words in ("PytorchStreamWriter", "unexpected pos", "I/O error"))
        if not said and getattr(error, "errno", None) not in DISK_ERRORS:
            raise
        raise AgentrecError(
            f"{path} could not be written ({text.splitlines()[0]}); free space or choose another folder"
        ) from error


def local_folder(name: str | Path, **kwargs: Any) -> Path:
    """A local folder as it is, or the downloaded copy of a hub repository.

    Args:
        name: a folder, or ``owner/name`` on the hub.
        kwargs: as `huggingface_hub.snapshot_download`.

    Raises:
        ArtefactError: no such folder, and no repository of that name can be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(str(name), **kwargs))
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"{name} is neither a folder nor a hub repository that can be fetched; check the path or the name"
        ) from error


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Read and check ``agentrec.json`` of an artefact.

    Raises:
        ArtefactError: no artefact lies there, or another format wrote it.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise ArtefactError(f"{folder} holds no {MANIFEST}; expected a folder written by save_pretrained")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise ArtefactError(f"{folder / MANIFEST} has format {found!r}; this version reads format {FORMAT}")
    missing = sorted({"room", "method", "config", "provenance"} - set(manifest))
    if missing:
        raise ArtefactError(f"{folder / MANIFEST} has no {missing[0]!r}; it was edited, so write or copy it again")
    return manifest


def read_arrays(file: Path) -> Arrays:
    """Read a safetensors file.

    Raises:
        ArtefactError: the file is missing or truncated.
    """
    try:
        return dict(load_file(file))
    except FileNotFoundError as error:
        raise ArtefactError(f"{file} does not exist; the artefact is incomplete, so write or copy it again") from error
    except SafetensorError as error:
        raise ArtefactError(f"{file} is truncated or damaged ({error}); write or copy it again") from error


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as a JSON-able dict."""
    return dataclasses.asdict(config)


def known_by(config: Any, first: Collection[str]) -> dict[str, Any]:
    """Settings as a key of what was made with them: later ones only where they are not at their default.

    So a setting that is new does not make stale what was made before it existed.

    Args:
        config: a dataclass whose fields all have defaults.
        first: the fields that it began with, which always count.
    """
    default = plain(type(config)())
    return {name: value for name, value in plain(config).items() if name in first or value != default[name]}
