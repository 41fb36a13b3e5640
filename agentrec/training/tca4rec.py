"""TCA4Rec: fine-tuning that listens to a collaborative recommender at every token (arXiv:2601.18457).

The same rows and the same trainer as `agentrec.training.sft`; only the loss differs. Each label token becomes a soft
label, mostly the token that came and by ``alpha`` what the teacher expects there (`agentrec.training.soft_labels`). The
teacher is any scorer that was made from the same training rows (`agentrec.training.teachers`); it is asked once, before
training (`agentrec.training.soft_tables`), and gets no gradient.

Differences from the paper: identifiers are semantic IDs; the trie treats an end token as a child like any other; the
first item of a history, which nothing predicts, is taught by nobody; alpha may rise or fall while training goes on. A
teacher that was trained on the very targets it teaches is surer of them than it will be of any other; ``folds`` teaches
every user by a model that was trained without that user (`agentrec.training.cross_fitting`). Choose alpha on validation
users.

What it does not know: test rows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from agentrec.core.artefact import known_by
from agentrec.core.config import setting
from agentrec.core.errors import AgentrecError, ConfigError
from agentrec.core.protocols import Scorer
from agentrec.core.types import Catalogue
from agentrec.data.load import load_dataset
from agentrec.data.split import Split, leave_one_out
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.item_ranges import ItemRanges
from agentrec.decoding.index.sequences import SequenceTrie
from agentrec.decoding.shares.collaborative_tokenizer import CollaborativeTokenizer
from agentrec.prompts.forms import IGNORE, Form, SequenceForm
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.training.flags import read_flags
from agentrec.training.sft import Prepared, run_trainer, training_rows
from agentrec.training.sft_settings import Config, training_arguments
from agentrec.training.sid_trainer import SIDTrainer
from agentrec.training.soft_labels import SoftLabelAlignmentLoss
from agentrec.training.soft_tables import SoftLabelTable, build_table
from agentrec.training.teacher_mixture import TeacherMixture, open_teachers
from agentrec.training.teachers import Teacher

SCHEDULES = ("constant", "rise", "fall")
DTYPES = ("float16", "float32")
ROW = "row"
FIRST = ("alpha", "beta", "tau", "objective", "masked", "top_m", "alpha_schedule", "alpha_span", "scale", "table")


@dataclass(frozen=True)
class Alignment:
    """How much the teacher counts, and how."""

    teacher: str = setting(
        "", "method of agentrec.models, folder of a model, scores (.npz, .parquet), or several with +"
    )
    alpha: float = setting(0.05, "weight of the teacher in the soft label, 0 to 1")
    beta: float = setting(1.0, "temperature of the teacher's scores")
    tau: float = setting(1.0, "temperature of the generator's softmax in the loss")
    objective: str = setting(
        "marginal", "marginal (-log of the expected probability) or kl (cross entropy to soft labels)"
    )
    masked: bool = setting(False, "softmax over the tokens that may follow in the trie, not the whole vocabulary")
    top_m: int = setting(0, "keep so many of the teacher's scores per target, the rest sharing its mass; 0 keeps all")
    alpha_schedule: str = setting("constant", "constant, rise (from 0) or fall (to 0), both in a straight line")
    alpha_span: float = setting(1.0, "share of all steps over which alpha rises or falls")
    scale: str = setting("auto", "the teacher's scores are logits (logit), or weights whose log is taken (weight)")
    folds: int = setting(0, "2 or more: teach every user by a model trained without that user; 0 trains one on all")
    table: str = setting("float16", "type in which soft labels are kept in memory: float16 or float32")

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1 or not 0 < self.alpha_span <= 1:
            raise ConfigError(f"alpha is {self.alpha}, its span {self.alpha_span}; expected 0 to 1, the span above 0")
        for name, known in (("alpha_schedule", SCHEDULES), ("table", DTYPES)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected {', '.join(known)}")
        if self.folds < 0 or self.folds == 1:
            raise ConfigError(f"folds is {self.folds}; expected 0, or 2 and more")
        if self.top_m < 0 or not self.beta > 0:
            raise ConfigError(f"top_m is {self.top_m} and beta {self.beta}; expected 0 or more, and above 0")
        self.loss()

    def loss(self) -> SoftLabelAlignmentLoss:
        """The loss of these settings."""
        return SoftLabelAlignmentLoss(self.tau, self.masked, self.objective)

    def alpha_at(self, step: int, steps: int) -> float:
        """Alpha at a step (0-based) of so many.

        Example:
            >>> [Alignment(alpha=0.2, alpha_schedule="fall", alpha_span=0.5).alpha_at(step, 8) for step in (0, 2, 4, 7)]
            [0.2, 0.1, 0.0, 0.0]
        """
        if self.alpha_schedule == "constant":
            return self.alpha
        gone = min(1.0, step / max(1.0, self.alpha_span * steps))
        return self.alpha * (gone if self.alpha_schedule == "rise" else 1 - gone)

    def chosen(self) -> dict[str, Any]:
        """What tells models apart, the teacher aside, which is known by its content."""
        return {name: value for name, value in known_by(self, FIRST).items() if name != "teacher"}


class TCADataCollator(DataCollatorForLanguageModeling):  # type: ignore[misc]
    """TRL's collator, with the number of each training row: ``row``, (B,) int64."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad, and add the numbers."""
        batch: dict[str, Any] = super().torch_call(examples)
        return {**batch, ROW: torch.tensor([example[ROW] for example in examples])}


class TCA4RecTrainer(SIDTrainer):
    """`SIDTrainer` with soft labels.

    Args:
        table: soft labels of the training rows.
        alignment: how they count.
        arguments: as `trl.SFTTrainer`; the rows have a column ``row``.
    """

    data_collator: Any

    def __init__(self, *, table: SoftLabelTable, alignment: Alignment, **arguments: Any) -> None:
        arguments["args"].remove_unused_columns = False
        super().__init__(**arguments)
        self.data_collator = TCADataCollator(**vars(self.data_collator))
        self.table = table
        self.alignment = alignment
        self.alignment_loss = alignment.loss()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Soft-label loss over label tokens, averaged over the whole optimiser step."""
        given = {name: value for name, value in inputs.items() if name not in ("labels", ROW)}
        outputs = model(**given, use_cache=False)
        labels = inputs["labels"][:, 1:]
        real = labels != IGNORE
        soft = self.table.batch(inputs[ROW].cpu().numpy()).to(labels.device)
        alpha = self.alignment.alpha_at(self.state.global_step, self.state.max_steps)
        losses = self.alignment_loss(outputs.logits[:, :-1][real], labels[real], soft, alpha=alpha)
        if num_items_in_batch is None:
            loss = losses.mean()
        else:  # gradients are averaged over processes, tokens counted over all
            processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
            loss = losses.sum() * processes / num_items_in_batch
        return (loss, outputs) if return_outputs else loss


def train_tca4rec(  # noqa: PLR0913 - as `train_sft`, and the teacher
    split: Split,
    vocabulary: SIDVocabulary,
    catalogue: Catalogue,
    out: str | Path,
    *,
    teacher: str | Path | Scorer | Sequence[Any] | None = None,
    alignment: Alignment | None = None,
    config: Config | None = None,
    training: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> list[dict[str, float]]:
    """Fine-tune a generator with a teacher and write its folder; see `agentrec.training.sft.train_sft`.

    Args:
        split: hands out the training histories.
        vocabulary: semantic IDs of the catalogue.
        catalogue: the items.
        out: folder of the trained generator.
        teacher: see `open_teachers`; by default the one that ``alignment`` names.
        alignment: how much the teacher counts, and how.
        config: what is trained.
        training: settings of `trl.SFTConfig` over the defaults of `agentrec.training.sft_settings`.
        progress: show bars.

    Returns:
        The log, as `train_sft`.

    Raises:
        ConfigError: no teacher is named, or a setting is out of range.
        ArtefactError: the teacher knows another catalogue or was made from another split.
        DataError: no user has two training items.
    """
    config, alignment = config or Config(), alignment or Alignment()
    args = training_arguments(config, {**(training or {}), "output_dir": f"{out}.checkpoints"}, progress=progress)
    vocabulary.matches(catalogue.ids)
    found = _teacher(teacher or alignment.teacher, split, alignment)
    prepare = partial(prepare_soft_labels, vocabulary=vocabulary, teacher=found, alignment=alignment, progress=progress)
    return run_trainer(split, vocabulary, catalogue, out, config=config, args=args, prepare=prepare)


def _teacher(
    source: str | Path | Scorer | Sequence[Any], split: Split, alignment: Alignment
) -> Teacher | TeacherMixture:
    if source == "":
        raise ConfigError("no teacher is named; expected a method, a folder or a file of saved scores, as --teacher")
    return open_teachers(source, split, scale=alignment.scale, folds=alignment.folds)


def prepare_soft_labels(
    form: Form,
    split: Split,
    tokenizer: Any,
    *,
    vocabulary: SIDVocabulary,
    teacher: Teacher | TeacherMixture,
    alignment: Alignment,
    progress: bool = False,
) -> Prepared:
    """Rows that know their number, and a trainer that knows their soft labels."""
    examples = form.examples(split.train)
    rows = training_rows(examples)
    shares = CollaborativeTokenizer(sid_ranges(form, vocabulary, tokenizer), alignment.beta)
    how: dict[str, Any] = {"top_m": alignment.top_m, "dtype": alignment.table, "progress": progress}
    table = build_table(examples, split.train, teacher, shares, **how)
    made_from = {"tca4rec": alignment.chosen(), "teacher": teacher.identity}
    trainer = partial(TCA4RecTrainer, table=table, alignment=alignment)
    return Prepared(rows.add_column(ROW, list(range(len(rows)))), trainer, made_from)


def sid_ranges(form: Form, vocabulary: SIDVocabulary, tokenizer: Any) -> ItemRanges:
    """The trie of what a form writes: semantic IDs, closed by an end token in a chat."""
    if isinstance(form, SequenceForm):
        index = StaticIndex.build(vocabulary.codes, vocabulary.level_sizes)
        return ItemRanges.of_index(index, vocabulary.token_ids(tokenizer))
    sequences = vocabulary.item_token_ids(tokenizer).tolist()
    return ItemRanges.of_trie(SequenceTrie.build(sequences, tokenizer.eos_token_id))


def main(arguments: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Train from the flags of `agentrec.training.sft` and those of `Alignment`."""
    paths, config, args, alignment = read_flags(arguments, Alignment)
    dataset = load_dataset(paths.data)
    split, vocabulary = leave_one_out(dataset), SIDVocabulary.from_pretrained(paths.sids)
    vocabulary.matches(dataset.catalogue.ids)
    teacher = _teacher(alignment.teacher, split, alignment)
    prepare = partial(prepare_soft_labels, vocabulary=vocabulary, teacher=teacher, alignment=alignment)
    return run_trainer(split, vocabulary, dataset.catalogue, paths.out, config=config, args=args, prepare=prepare)


if __name__ == "__main__":
    try:
        main()
    except AgentrecError as error:
        sys.exit(f"error: {error}")
