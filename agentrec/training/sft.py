"""Supervised fine-tuning of a generator on semantic IDs, on top of TRL's SFTTrainer.

Two data forms (`agentrec.prompts.forms`): the sequence form trains every next item of a user in one pass, the
instruction form trains one chat per target. Rows come tokenised, with labels; batches are bucketed by length
(`agentrec.training.batches`); the loss is the mean over all label tokens of the optimiser step, whatever the number
of processes. Flags of `trl.SFTConfig` (and so of transformers) are accepted, ``report_to`` included; the
folder of checkpoints, the preparation of rows and resuming are decided here.

A killed run resumes at its last complete checkpoint and ends with the same losses. Several processes give the losses
of one process with as many times the batch: ``accelerate launch --multi_gpu --num_processes 2 -m
agentrec.training.sft --data D --sids S --out O``, on CPUs too (the option ``--cpu`` of accelerate 1.15 starts a single
process).

What it does not know: test rows. Only the training histories of the split are read, and with ``--validation_users``
validation targets decide when to stop (`agentrec.training.beam_validation`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.utils import DistributedType
from datasets import Dataset as Rows
from transformers import PrinterCallback, ProgressCallback
from trl import SFTConfig

from agentrec.core.artefact import writing_weights
from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError, DataError
from agentrec.core.provenance import versions
from agentrec.core.types import Catalogue
from agentrec.data.load import load_dataset
from agentrec.data.split import Split, leave_one_out
from agentrec.models.generator import save_generator
from agentrec.models.presets import PRESETS, Generator, build_generator
from agentrec.prompts.forms import Example, Form, build_form
from agentrec.prompts.mixture import parse_tasks, prompt_words
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.training.adapters import lora_config
from agentrec.training.beam_validation import BeamNDCG, BeamValidation
from agentrec.training.checkpoints import resumable_checkpoint
from agentrec.training.dropout import add_residual_dropout
from agentrec.training.flags import read_flags
from agentrec.training.guards import within_context
from agentrec.training.sft_settings import Config as Config
from agentrec.training.sft_settings import chosen, training_arguments
from agentrec.training.sid_trainer import QuietProgress, SIDTrainer

UNBOUNDED = 2**31
SHORTER = "lower max_items, or use a model with a longer context"


class Prepared(NamedTuple):
    """What a method that builds on this one may choose.

    Attributes:
        rows: tokenised, with labels.
        trainer: `SIDTrainer`, or one built on it, called with the trainer's usual arguments.
        made_from: what its checkpoints are told apart by, beside the settings of this file.
    """

    rows: Rows
    trainer: Callable[..., SIDTrainer]
    made_from: Mapping[str, Any]


Prepare = Callable[[Form, Split, Any], Prepared]  # form, split, tokenizer


def prepare_sft(form: Form, split: Split, tokenizer: Any) -> Prepared:
    """Rows of the training histories and the model's own loss."""
    return Prepared(training_rows(form.examples(split.train)), SIDTrainer, {})


def preparation(config: Config, args: SFTConfig, own: Prepare | None = None) -> Prepare:
    """A method's own way to prepare, that of the config's tasks, or that of its form.

    Raises:
        ConfigError: the config names tasks for a method that has rows of its own, or they cannot be read.
    """
    if not config.tasks:
        return own or prepare_sft
    if own is not None:
        raise ConfigError(f"tasks is {config.tasks!r}, and this method makes rows of its own; remove it, or use sft")
    from agentrec.training.instructions import prepare_tasks

    return prepare_tasks(config, args)


def train_sft(
    split: Split,
    vocabulary: SIDVocabulary,
    catalogue: Catalogue,
    out: str | Path,
    *,
    config: Config | None = None,
    training: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> list[dict[str, float]]:
    """Fine-tune a generator and write its folder.

    Args:
        split: hands out the training histories.
        vocabulary: semantic IDs of the catalogue.
        catalogue: the items.
        out: folder of the trained generator; checkpoints lie beside it in ``<out>.checkpoints`` until it is written.
        config: what is trained.
        training: settings of `trl.SFTConfig` over the defaults of this file.
        progress: show a bar.

    Returns:
        The log: one ``{"step", "epoch", "loss", "learning_rate", "grad_norm"}`` per logging step.

    Raises:
        DataError: no user has two training items.
        ArtefactError: model or semantic IDs do not load or match.
    """
    config = config or Config()
    checkpoints = Path(f"{out}.checkpoints")
    args = training_arguments(config, {**(training or {}), "output_dir": str(checkpoints)}, progress=progress)
    return run_trainer(split, vocabulary, catalogue, out, config=config, args=args)


def run_trainer(
    split: Split,
    vocabulary: SIDVocabulary,
    catalogue: Catalogue,
    out: str | Path,
    *,
    config: Config,
    args: SFTConfig,
    prepare: Prepare | None = None,
) -> list[dict[str, float]]:
    """Build model, rows and trainer; train, resuming where a checkpoint lies; write the folder. See `train_sft`."""
    vocabulary.matches(catalogue.ids)
    generator = prepare_generator(config, vocabulary, catalogue, seed=args.seed)
    form = make_form(config, generator.tokenizer, vocabulary, catalogue)
    prepared = preparation(config, args, prepare)(form, split, generator.tokenizer)
    rows = within_context(prepared.rows, context_of(generator.model, args), config.too_long, SHORTER)
    hooks = add_residual_dropout(generator.model, config.dropout) if config.model in PRESETS else []
    args.dataset_kwargs = {"skip_prepare_dataset": True}
    trainer = prepared.trainer(
        model=generator.model,
        args=args,
        train_dataset=rows,
        processing_class=generator.tokenizer,
        peft_config=lora(config, generator, vocabulary),
    )
    if config.optimizer == "muon":
        trainer.optimizer = muon(trainer.model, config, args)
    watch = validation(split, config, (form, generator.tokenizer, vocabulary), args)
    if watch is not None:
        trainer.add_callback(watch)
    trainer.remove_callback(PrinterCallback)
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(QuietProgress)
    made_from = {"split": split.fingerprint, "sids": vocabulary.fingerprint, "rows": len(rows)}
    made_from |= {"config": config.chosen(), **prepared.made_from}
    made_from |= {"training": {**chosen(args), "processes": trainer.accelerator.num_processes}}
    with trainer.accelerator.main_process_first():
        start = resumable_checkpoint(args.output_dir, made_from)
    with writing_weights(args.output_dir):
        trainer.train(resume_from_checkpoint=start)
    log = loss_log(trainer.state.log_history)
    weights = gathered(trainer)
    if trainer.is_world_process_zero():
        for hook in hooks:
            hook.remove()
        model = trainer.accelerator.unwrap_model(trainer.model)
        save_generator(
            out,
            model.merge_and_unload() if config.lora_rank else model,
            generator.tokenizer,
            vocabulary,
            config={"form": form.settings(), "num_beams": config.num_beams, "bf16": bool(args.bf16)},
            provenance={**made_from, "seed": args.seed, "versions": versions()},
            log=log + (watch.rounds if watch is not None else []),
            weights=weights,
        )
        shutil.rmtree(args.output_dir, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    return log


def gathered(trainer: SIDTrainer) -> Mapping[str, torch.Tensor] | None:
    """All weights on the first process where FSDP or DeepSpeed spread them out; every process must ask.

    Raises:
        ConfigError: adapters are spread out, which cannot be merged.
    """
    accelerator = trainer.accelerator
    if accelerator.distributed_type not in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        return None
    if hasattr(accelerator.unwrap_model(trainer.model), "merge_and_unload"):
        raise ConfigError(
            f"lora_rank with {accelerator.distributed_type.value} is not supported, since adapters that are spread "
            "over processes cannot be merged; use --multi_gpu, or lora_rank 0"
        )
    found: Mapping[str, torch.Tensor] = accelerator.get_state_dict(trainer.model)
    return found


def prepare_generator(config: Config, vocabulary: SIDVocabulary, catalogue: Catalogue, *, seed: int) -> Generator:
    """Model and tokenizer that know every semantic-ID token."""
    words = prompt_words(parse_tasks(config.tasks)) if config.tasks else []
    texts = [*catalogue.texts(), *words] if config.form == "instruction" else None
    generator = build_generator(config.model, vocabulary.all_tokens, texts=texts, seed=seed)
    if config.model not in PRESETS:
        added = vocabulary.extend_tokenizer(generator.tokenizer)
        if added == len(vocabulary.all_tokens):
            vocabulary.extend_model(generator.model, generator.tokenizer, catalogue.titles)
        elif added:
            raise ArtefactError(
                f"{config.model} knows {len(vocabulary.all_tokens) - added} of these {len(vocabulary.all_tokens)} "
                "semantic-ID tokens; expected all or none, so use the semantic IDs it was trained with"
            )
    return generator


def context_of(model: Any, args: SFTConfig) -> int:
    """Most tokens of a row: what the model reads, or ``max_length`` where that is less."""
    reads = int(getattr(model.config, "max_position_embeddings", UNBOUNDED))
    return min(reads, args.max_length or UNBOUNDED)


def make_form(config: Config, tokenizer: Any, vocabulary: SIDVocabulary, catalogue: Catalogue) -> Form:
    """The form of a config."""
    settings: dict[str, Any] = {"form": config.form, "max_items": config.max_items}
    if config.form == "instruction":
        settings["targets_per_user"] = config.targets_per_user
    sids = [vocabulary.text(item) for item in range(vocabulary.num_items)]
    return build_form(settings, tokenizer, vocabulary.item_token_ids(tokenizer), sids, catalogue.titles)


def training_rows(examples: Sequence[Example]) -> Rows:
    """Tokenised rows with labels.

    Raises:
        DataError: there is none, because no user has two training items.
    """
    if not examples:
        raise DataError("no training history has two items; expected at least one that has, so add interactions")
    return Rows.from_dict(
        {"input_ids": [row.input_ids for row in examples], "labels": [row.labels for row in examples]}
    )


def lora(config: Config, generator: Generator, vocabulary: SIDVocabulary) -> Any:
    """Adapters where the config asks for them; of the embeddings, only the semantic-ID tokens' rows are trained."""
    if not config.lora_rank:
        return None
    new = generator.tokenizer.convert_tokens_to_ids(vocabulary.all_tokens)
    return lora_config(config.lora_rank, config.lora_modules, generator.model, new)


def muon(model: Any, config: Config, args: SFTConfig) -> Any:
    """Muon with AdamW's settings for the rest."""
    from agentrec.training.optim import MuonSettings, muon_for

    settings = MuonSettings(learning_rate=config.muon_learning_rate)
    adam = {"lr": args.learning_rate, "betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
    return muon_for(model, settings, weight_decay=args.weight_decay, **adam)


def validation(
    split: Split, config: Config, measured: tuple[Form, Any, SIDVocabulary], args: SFTConfig
) -> BeamValidation | None:
    """Early stopping by constrained beams on a sample of the validation users, where it is asked for."""
    if not config.validation_users:
        return None
    held = split.reveal("validation").sample(config.validation_users, args.seed)
    measure = BeamNDCG(held, *measured, config.num_beams)
    return BeamValidation(measure, args.output_dir, every=config.validate_every, patience=config.patience)


def loss_log(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The part of the trainer's history that depends on seed and data alone."""
    names = ("step", "epoch", "loss", "learning_rate", "grad_norm")
    return [{name: float(entry[name]) for name in names if name in entry} for entry in history if "loss" in entry]


def main(arguments: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Train from flags; see `read_flags`."""
    paths, config, args = read_flags(arguments)
    dataset = load_dataset(paths.data)
    vocabulary = SIDVocabulary.from_pretrained(paths.sids)
    return run_trainer(leave_one_out(dataset), vocabulary, dataset.catalogue, paths.out, config=config, args=args)


if __name__ == "__main__":
    try:
        main()
    except AgentrecError as error:
        sys.exit(f"error: {error}")
