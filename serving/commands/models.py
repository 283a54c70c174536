"""``heed models``: which base model suits this deployment."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.commands import output

if TYPE_CHECKING:
    from trainer.comparison import Measured, Recommendation, Standing

app = typer.Typer(help="Choose a base model.", no_args_is_help=True)


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="`starter`, folders or hub ids; at least two."),
    ],
    *,
    limit: Annotated[
        int, typer.Option(min=10, help="Try them on so many known answers at most.")
    ] = 400,
    few_shot: Annotated[
        int, typer.Option(min=0, max=32, help="Answered questions shown before each question.")
    ] = 4,
    folds: Annotated[
        int | None,
        typer.Option(
            min=1, max=20, help="Parts that hold out in turn; five where there is little data."
        ),
    ] = None,
    trial: Annotated[
        bool, typer.Option(help="Also train one round with each; the slow part.")
    ] = True,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Shorten the trial rounds to so many steps.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of folds, shown examples and resampling.")] = 0,
    as_json: output.Json = False,
) -> None:
    """Try base models on this deployment's own questions and answers, and recommend one.

    The trial round takes the adapter, the objectives, the rate, passes and replay from your
    `[trainer]` settings. Nothing in it is repeated, augmented or interpolated: it is simpler than a
    round, and the same for every model.

    Nothing is claimed and nothing is changed: settle on one with `trainer.base_model`.
    """
    from feedback.errors import Invalid
    from serving.commands.opening import opened
    from trainer import comparison, own_data
    from trainer import folds as splits
    from trainer import trial as trials

    if len(set(models)) < 2:
        raise Invalid("Name at least two different models to compare.", param="MODEL")
    with opened() as (settings, store):
        plan = settings.trainer.plan()
        if steps is not None:
            # Any part of a pass will do, so that the number of steps alone decides.
            plan = plan.model_copy(update={"minimum_steps": steps, "epochs": 1e-9})
        data = own_data.read(store, settings.feedback, plan, most=limit, seed=seed)
    people = len({each.cluster for each in data.known})
    chosen = trials.Trial(
        plan,
        few_shot=few_shot,
        folds=splits.count(len(data.known), people, folds) if trial else 0,
        seed=seed,
    )
    measured = _measured(list(dict.fromkeys(models)), data, chosen)
    order = [at for part in trials.held_out(data, chosen) for at in part]
    advice = comparison.recommend(
        measured,
        [data.known[at].cluster for at in order],
        [item.cluster for item in trials.protected(data, chosen)],
        seed=seed,
    )
    failed = [each for each in measured if each.error is not None]
    if as_json:
        output.document(_json(advice, failed, items=len(order), folds=chosen.folds))
    else:
        _print(advice, failed, items=len(order), people=people, folds=chosen.folds)
    if advice.model is None:
        raise typer.Exit(1)


def _measured(models: list[str], data: Any, chosen: Any) -> "list[Measured]":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from trainer import trial as trials

    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.screen(err=True), transient=True) as bars:
        for model in models:
            bar = bars.add_task(model, total=1.0)

            def report(what: str, done: float, model: str = model, bar: Any = bar) -> None:
                bars.update(bar, completed=done, description=f"{model}: {what}")

            found.append(trials.measure(model, data, chosen, report))
            bars.update(bar, completed=1.0, description=model)
    return found


def _json(
    advice: "Recommendation", failed: "list[Measured]", *, items: int, folds: int
) -> dict[str, Any]:
    return {
        "object": "models.comparison",
        "items": items,
        "folds": folds,
        "recommended": advice.model,
        "sure": advice.sure,
        "reason": advice.reason,
        "models": [
            {
                **{k: v for k, v in asdict(each.measured).items() if k not in ("marks", "error")},
                "score": each.measured.score,
                "best_chance": each.best_chance,
                "behind": each.behind,
                "behind_95": [each.behind_low, each.behind_high],
            }
            for each in advice.standings
        ],
        "unusable": [{"model": each.model, "error": each.error} for each in failed],
    }


def _print(
    advice: "Recommendation", failed: "list[Measured]", *, items: int, people: int, folds: int
) -> None:
    how = f"{folds} folds" if folds > 1 else "one split" if folds else "no trial round"
    output.say(f"Tried on {items} known answers of {people} people, {how}.")
    if advice.standings:
        output.table(_COLUMNS, [_row(each, trial=folds > 0) for each in advice.standings])
    for each in failed:
        output.say(f"{each.model} cannot be used: {each.error}")
    output.say("")
    if advice.model is None:
        output.say(advice.reason)
        return
    output.say(f"Recommended: {advice.model}{'' if advice.sure else ' (not sure)'}")
    output.say(advice.reason)
    output.say(f'Choose it with `base_model = "{advice.model}"` under [trainer] in heed.toml.')


_COLUMNS = (
    "model",
    "score",
    "behind (95%)",
    "best in",
    "as it comes",
    "token F1",
    "few-shot",
    "after a round",
    "forgot",
    "perplexity",
    "bits/byte",
    "tokens/word",
    "fits",
    "system turns",
    "s/answer",
    "parameters",
)


_SYSTEM_TURNS = {"own": "yes", "folded": "in the user's", "dropped": "no"}


def _row(each: "Standing", *, trial: bool) -> tuple[object, ...]:
    one = each.measured
    fit = one.fit
    return (
        one.model,
        f"{one.score:.1%}",
        f"{each.behind:.1%} ({each.behind_low:.1%} to {each.behind_high:.1%})",
        f"{each.best_chance:.0%}",
        f"{one.baseline:.1%}",
        f"{one.baseline_f1:.2f}",
        f"{one.few_shot:.1%}",
        f"{one.trial:.1%}" if trial and one.trial is not None else "–",
        f"{one.forgotten:.1%}" if trial and one.forgotten is not None else "–",
        f"{one.perplexity:.3g}",
        f"{one.bits_per_byte:.2f}",
        f"{fit.tokens_per_word:.2f}" if fit else "–",
        f"{fit.fitting_share:.0%}" if fit else "–",
        _SYSTEM_TURNS[fit.system_turns] if fit else "–",
        f"{one.answer_seconds:.3f}",
        f"{one.parameters:,}",
    )
