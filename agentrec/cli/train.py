"""``agentrec train``: collaborative-filtering models and generators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Train recommenders.")

SFT_HELP = """Fine-tune a generator on semantic IDs.

Flags: --data, --sids, --out (folders; required); --model (qwen3-tiny, qwen3-small, a hub name or a folder), --form
(sequence or instruction), --max_items, --dropout, --lora_rank, --lora_modules, --num_beams, --targets_per_user,
--optimizer (adamw or muon), --muon_learning_rate; --validation_users (stop early by NDCG@10 of the beams of so many
validation users), --validate_every (epochs), --patience; --too_long (refuse or drop long rows); every flag of
trl.SFTConfig, such as --num_train_epochs, --learning_rate, --per_device_train_batch_size, --bf16, --report_to; and
--config FILE.yaml with any of them. A killed run goes on when the same command is given again.

Tasks: --form instruction --tasks next_item=1,title_to_sid=0.3 trains on a mixture of tasks (`agentrec list` names
them). A weight is a number of rows for each row of the first task, of which every row is used; the rows are drawn once
by --seed. Prompts longer than --max_length lose their oldest items; what still does not fit is refused, or dropped with
--too_long drop. --sample_weights FILE (columns user_id, weight and perhaps item_id) makes the rows of some users or
actions count more.

Examples:

    agentrec train sft --data runs/data --sids runs/sids --out runs/generator --num_train_epochs 12

    agentrec train sft --data runs/data --sids runs/sids --out runs/qwen --model Qwen/Qwen3-0.6B \
        --form instruction --lora_rank 16 --tasks next_item=1,title_to_sid=0.3,sid_to_title=0.3 --max_length 1024

    accelerate launch --multi_gpu --num_processes 2 -m agentrec.training.sft --data runs/data --sids runs/sids \
        --out runs/generator
"""

TCA4REC_HELP = """Fine-tune a generator that listens to a collaborative teacher at every token (TCA4Rec).

Flags: --data, --sids, --out, --dropout and all others of `agentrec train sft`, and --teacher (a method of `agentrec
list`, the folder of a model trained on the same data, saved scores as .npz or .parquet, or several joined by +,
whose mean counts; required), --alpha (weight of the teacher), --beta (temperature of its scores), --tau (of the
generator's softmax), --objective (marginal or kl), --masked (softmax over valid tokens only), --top_m (scores kept per
target), --alpha_schedule (constant, rise, fall), --alpha_span, --scale (auto, logit, weight), --folds (2 or more: every
user is taught by a model trained without that user; methods only, and of several only those that count) and --table
(float16, float32).

Examples:

    agentrec train cf --data runs/data --model sasrec --out runs/sasrec

    agentrec train tca4rec --data runs/data --sids runs/sids --teacher runs/sasrec --alpha 0.1 --out runs/aligned

    agentrec train tca4rec --data runs/data --sids runs/sids --teacher transitions --folds 5 --objective kl \
        --alpha 0.7 --dropout 0.1 --out runs/aligned

    agentrec train tca4rec --data runs/data --sids runs/sids --teacher runs/sasrec+transitions --folds 5 \
        --objective kl --alpha 0.7 --dropout 0.1 --out runs/aligned
"""


@app.command("cf")
def train_cf(  # noqa: PLR0917 - one parameter per option; typer passes them by name
    data: Annotated[str, typer.Option(help="Data set: a saved folder, a file or a known name.")],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    model: Annotated[str, typer.Option(help="A model of `agentrec list`.")] = "sasrec",
    items: Annotated[str | None, typer.Option(help="Items table, if the data set holds none.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting of training, as name=value.")] = None,
    model_set: Annotated[list[str] | None, typer.Option(help="A setting of the model, as name=value.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and dropout.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print a summary as JSON, on the last line.")] = False,
) -> None:
    """Train a collaborative-filtering model on the training part of a data set.

    Examples:

        agentrec train cf --data runs/data --model transitions --out runs/transitions

        agentrec train cf --data runs/data --model sasrec --set epochs=20 --out runs/sasrec
    """
    from agentrec.core.config import from_mapping
    from agentrec.data.load import load_dataset
    from agentrec.data.split import leave_one_out
    from agentrec.training import cf

    settings = from_mapping(cf.Config, {"seed": seed, **_pairs(set_)})
    split = leave_one_out(load_dataset(data, items=items))
    trained = cf.train_cf(model, split, model=_pairs(model_set), config=settings, progress=True)
    trained.save_pretrained(out)
    summary = {"model": model, "out": str(out), **trained.provenance}
    typer.echo(json.dumps(summary, sort_keys=True) if json_ else f"{model}: written to {out}")


@app.command("optimizers")
def compare_optimizers(  # noqa: PLR0917 - one parameter per option; typer passes them by name
    recommender: Annotated[str, typer.Argument(help="A recommender of a recipe: muon_scientific:sasrec.")],
    out: Annotated[Path, typer.Option(help="Folder of all runs; those that lie there are kept.")],
    seeds: Annotated[str, typer.Option(help="How many seeds (3), or which (0,1,5); the first one tunes.")] = "3",
    adamw: Annotated[str | None, typer.Option(help="Learning rates of AdamW, comma-separated.")] = None,
    muon: Annotated[str | None, typer.Option(help="Learning rates of Muon's matrices, as many.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what was found as JSON, on the last line.")] = False,
) -> None:
    """Compare AdamW with Muon, each with its own best learning rate: steps, and NDCG@10 on the test part.

    Writes optimizers.json and optimizers.png into --out; a killed comparison goes on where it stopped.

    Examples:

        agentrec train optimizers muon_scientific:sasrec --out runs/muon

        agentrec train optimizers recipe.yaml:generator --adamw 0.001,0.002 --muon 0.01,0.02 --seeds 1 --out runs/muon
    """
    from agentrec.core.files import write_json
    from agentrec.evaluation.run import parse_seeds
    from agentrec.pipeline.optimizer_grid import ADAMW, MUON, RATES, Grid, draw
    from agentrec.pipeline.recipe import read_recommender

    rates = {
        name: _numbers(given, name) if given else list(RATES[name]) for name, given in ((ADAMW, adamw), (MUON, muon))
    }
    grid = Grid(
        read_recommender(recommender), out, rates, progress=not json_, say=lambda line: typer.echo(line, err=True)
    )
    found = grid.compare(parse_seeds(seeds))
    write_json(out / "optimizers.json", found)
    draw(found, out / "optimizers.png")
    if json_:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    for name in (ADAMW, MUON):
        points = ", ".join(f"{rate}: {ndcg:.4f}" for rate, ndcg in found["grid"][name].items())
        test = sum(found["test"][name]) / len(found["test"][name])
        typer.echo(f"{name}: validation NDCG@10 by rate {points}; chosen {found['chosen'][name]}, test {test:.4f}")
    share, gap = found["steps_share"], found["difference"]
    typer.echo(f"muon reaches adamw's best after {'never' if share is None else f'{share:.0%} of its steps'}")
    typer.echo(f"muon less adamw on test: {gap['difference']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})")


@app.command(
    "sft",
    help=SFT_HELP,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train_sft(
    context: typer.Context,
    json_: Annotated[bool, typer.Option("--json", help="Print the last loss as JSON, on the last line.")] = False,
) -> None:
    """Fine-tune a generator; the help text is `SFT_HELP`."""
    _train_generator("sft", context.args, json_)


@app.command(
    "tca4rec",
    help=TCA4REC_HELP,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train_tca4rec(
    context: typer.Context,
    json_: Annotated[bool, typer.Option("--json", help="Print the last loss as JSON, on the last line.")] = False,
) -> None:
    """Fine-tune a generator with a teacher; the help text is `TCA4REC_HELP`."""
    _train_generator("tca4rec", context.args, json_)


def _train_generator(method: str, flags: list[str], json_: bool) -> None:
    """Run one of the methods of `agentrec.training` that read trl's flags, and print its last loss."""
    from importlib import import_module

    from agentrec.core.errors import require

    for library in ("torch", "transformers", "trl"):
        require(library, "train")
    log = import_module(f"agentrec.training.{method}").main(flags)
    last = log[-1] if log else {}
    typer.echo(
        json.dumps(last, sort_keys=True) if json_ else f"generator: trained, last loss {last.get('loss', 'unknown')}"
    )


def _numbers(text: str, name: str) -> list[float]:
    """Comma-separated numbers above 0.

    Raises:
        ConfigError: a part is none.
    """
    from agentrec.core.errors import ConfigError

    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = [0.0]
    if min(found) <= 0:
        raise ConfigError(f"--{name} is {text!r}; expected learning rates above 0, separated by commas")
    return found


def _pairs(texts: list[str] | None) -> dict[str, Any]:
    """``name=value`` texts as a mapping, values read as YAML.

    Raises:
        ConfigError: a text is no pair.
    """
    from agentrec.core.config import parse_yaml
    from agentrec.core.errors import ConfigError

    found = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"setting {text!r} is no pair; expected name=value")
        found[name] = parse_yaml(value)
    return found
