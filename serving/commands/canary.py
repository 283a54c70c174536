"""``heed canary``, ``heed adapters ab`` and ``heed adapters rank``: versions compared by their people."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.commands import output

if TYPE_CHECKING:
    from trainer.models import Deployment

Version = Annotated[
    str | None, typer.Argument(help="An adapter's id, or `base`.", show_default=False)
]


def canary(as_json: output.Json = False) -> None:
    """Show what people say of the two versions that answer now, and what follows from it."""
    from serving import canary_watch
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session() as session:
        found = canary_watch.watched(session, settings).to_json()
    if as_json:
        output.document(found)
    else:
        _show(found, automatic=settings.trainer.canary_automatic)


def ab(
    a: Version = None,
    b: Version = None,
    *,
    share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of people whom B answers.")
    ] = 0.5,
    stop: Annotated[
        bool, typer.Option("--stop", help="End it; what was live before is again.")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why, for those who look later.")
    ] = "compared by hand",
    as_json: output.Json = False,
) -> None:
    """Let two versions answer side by side, end that, or (without A and B) show how they compare."""
    from feedback.errors import Invalid

    if not stop and a is None:
        canary(as_json)
        return
    if stop == (a is not None) or (a is None) != (b is None):
        raise Invalid("Name two versions to compare, or say --stop; not both.", param="b")
    deployment = _stop() if stop else _start(str(a), str(b), share, reason)
    if as_json:
        from serving import wire

        output.document(wire.deployment(deployment))
        return
    live = deployment.live_id or "the base model"
    if deployment.canary_id is None:
        output.say(f"The comparison has ended; {live} is live. Running servers follow in a second.")
    else:
        output.say(
            f"{deployment.canary_id} answers {deployment.canary_share:.0%} of people and {live} the "
            "others. `heed adapters ab` shows how they compare, `heed adapters ab --stop` ends it."
        )


def rank(
    reference: Annotated[
        str | None, typer.Option(help="Compare with this version; by default the busiest.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Rank versions by the preferences between their answers (Bradley–Terry), with intervals."""
    from serving import preferences
    from serving.commands.opening import opened

    with opened() as (_, store), store.session() as session:
        found = preferences.ranking(session, reference)
    if as_json:
        output.document(found)
    elif not found["data"]:
        output.say(
            "Nobody has preferred one version's answer to another's yet (feedback with "
            "`preferred_over`)."
        )
    else:
        output.table(
            ("version", "preferred", "log-odds", "95% interval", "won", "people"),
            [
                (
                    row["id"],
                    f"{row['preferred']:.0%}",
                    f"{row['log_odds']:+.2f}",
                    f"{row['lower']:+.2f} to {row['upper']:+.2f}",
                    f"{row['wins']} of {row['comparisons']}",
                    row["people"],
                )
                for row in found["data"]
            ],
        )
        output.say(
            f"\nEach beside {found['reference']}, by people: several votes of one count as one."
        )


def _show(found: dict[str, Any], *, automatic: bool) -> None:
    if found["running"]:
        what = "A/B comparison" if found["mode"] == "ab" else "canary"
        output.say(
            f"The {what} {found['canary']} answers {found['canary_share']:.0%} of people, "
            f"{found['live']} the others, since {output.moment(found['since'])}.\n"
        )
        output.table(
            ("evidence", "now", "before", "difference", "surely between", "people", "worse?"),
            [_row(each) for each in found["streams"]],
        )
        output.say(f"\n{found['reason']}")
        if found["mode"] == "canary" and not automatic:
            output.say("Nothing happens by itself (trainer.canary_automatic).")
        elif found["mode"] == "ab":
            output.say("Nothing follows from it by itself: `heed adapters ab --stop` ends it.")
    else:
        output.say(
            "One version answers everybody. `heed adapters promote ID --canary-share 0.05` makes a "
            "canary of another, and trainer.canary_share one of every promoted round."
        )
    if found["last"]:
        output.say(f"Last decided {output.moment(found['last']['at'])}: {found['last']['reason']}")


def _row(each: dict[str, Any]) -> tuple[object, ...]:
    if not each["pairs"]:
        nobody = f"{each['new_people']} and {each['old_people']}"
        return each["stream"], None, None, None, None, nobody, None
    return (
        each["stream"],
        f"{each['new_mean']:.1%}",
        f"{each['old_mean']:.1%}",
        f"{100 * each['estimate']:+.1f} points",
        f"{100 * each['lower']:+.1f} and {100 * each['upper']:+.1f}",
        f"{each['new_people']} and {each['old_people']}",
        f"{each['evidence']:.3g} of {each['needed']:.3g}",
    )


def _start(a: str, b: str, share: float, reason: str) -> "Deployment":
    from serving import auth
    from serving.commands.opening import opened
    from trainer import ab, registry

    with opened() as (settings, store):
        for name in (a, b):
            if name != ab.BASE:
                with store.session() as session:
                    row = registry.get(session, name)
                registry.verify(settings.feedback.data_dir, row)
        with store.session(write=True) as session:
            made = ab.start(session, a, b, share=share, actor="cli", reason=reason)
            auth.audit(session, actor="cli", action="adapter.ab", subject=f"{a} {b}")
            session.commit()
    return made


def _stop() -> "Deployment":
    from serving import auth
    from serving.commands.opening import opened
    from trainer import ab, registry

    with opened() as (_, store), store.session(write=True) as session:
        before = registry.live(session)
        made = ab.stop(session, actor="cli", reason="the comparison was ended by hand")
        subject = f"{before.live_id or 'base'} {before.canary_id}" if before else "base"
        auth.audit(session, actor="cli", action="adapter.ab.stop", subject=subject)
        session.commit()
    return made
