"""``heed demo``: the whole loop, played by simulated people. Knows only how to start it."""

from typing import Annotated

import typer

from serving.commands import output


def demo(
    rounds: Annotated[int, typer.Option(min=1, help="So many rounds of learning.")] = 3,
    seed: Annotated[int, typer.Option(help="Seeds the people and the training.")] = 0,
    exit_after: Annotated[
        bool, typer.Option("--exit", help="Stop after the last round; fail if nothing improved.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Play the whole loop with simulated people over real HTTP."""
    from serving.demo import play

    raise typer.Exit(play(rounds=rounds, seed=seed, exit_after=exit_after, as_json=as_json))
