"""``heed round compare``: the checkpoints of a document round side by side."""

from typing import Annotated

import typer

from serving.commands import output

_NO_VALUE = "–"


def compare(
    round_id: Annotated[
        str, typer.Argument(metavar="ID", help="A document round, as `heed round list` shows it.")
    ],
    steps: Annotated[
        int, typer.Option(min=1, max=10_000, help="Optimizer steps of each fine-tuning trial.")
    ] = 30,
    items: Annotated[
        int, typer.Option(min=1, help="At most so many protected items are asked.")
    ] = 200,
    as_json: output.Json = False,
) -> None:
    """Compare a document round's checkpoints: what each step of reading gained, and what it cost.

    For each: perplexity on the held-out pieces, protected accuracy, and both the score on held-out
    corrections and protected accuracy after a short fine-tuning trial on the feedback that waits.
    Nothing is claimed, published or changed. `heed round run --from ADAPTER` fine-tunes from one.
    """
    from serving.commands.opening import opened
    from trainer import tradeoff

    with opened() as (settings, store), output.bar(quiet=as_json) as report:
        found = tradeoff.compare(
            store,
            settings.feedback,
            settings.trainer,
            round_id,
            trial_steps=steps,
            most_items=items,
            report=lambda share, told: report(share, 1.0, told),
        )
    if as_json:
        output.document(found.to_json())
        return
    output.table(
        ("adapter", "read", "perplexity", "protected", "dev", "dev tuned", "protected tuned"),
        [
            (
                row.adapter or "base",
                "before" if not row.share else f"{row.share:.0%}",
                f"{row.perplexity:.2f}",
                *(
                    _NO_VALUE if value is None else f"{value:.1%}"
                    for value in (row.protected, row.dev, row.tuned_dev, row.tuned_protected)
                ),
            )
            for row in found.rows
        ],
    )
    for note in found.notes:
        output.say(note)
