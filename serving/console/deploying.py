"""Promoting and rolling back from the console: asked twice, said what it means, done as the API does.

Knows no page and no SQL.
"""

from collections.abc import Awaitable, Callable

from sqlmodel import Session

from serving.console import theme
from serving.console.desk import Desk
from serving.routes import adapters as routes
from serving.routes import comparisons
from trainer import registry
from trainer.ab import BASE
from trainer.models import Deployment

Then = Callable[[], Awaitable[object]]
_WHEN = (
    "That begins once it is loaded and has answered a probe, within a second or so on every server; "
    "answers that are being written are finished by the version that began them."
)


async def promote(desk: Desk, adapter_id: str, share: float, then: Then) -> None:
    """Ask, and make an adapter live, or a canary for a share of people.

    Args:
        desk: of the visit.
        adapter_id: which.
        share: of the people; 0 is everybody.
        then: called when it is done.
    """
    deployed = await desk.read(registry.live)
    now = named(deployed.live_id if deployed else None)
    ends = _ends(deployed, but=adapter_id)
    if share:
        title = f"Let {adapter_id} answer {share:.0%} of people?"
        meaning = (
            f"A fixed {share:.0%} of people are answered by it, the others by {now} as before.{ends} "
            f"{_stays(desk)} {_WHEN}"
        )
    else:
        title = f"Make {adapter_id} live?"
        meaning = (
            f"It answers everybody, in place of {now}.{ends} {_WHEN} Rolling back brings its parent "
            "back."
        )
    if not await theme.confirm(title, meaning, "Promote"):
        return
    who = await desk.allow("operator")
    wish = routes.Promotion(
        canary_share=share, reason=f"promoted in the console by {who.name or who.actor}"
    )
    await routes.promote(adapter_id, desk.parts, who, wish)
    desk.say(f"{adapter_id} answers {f'{share:.0%} of people' if share else 'everybody'} now.")
    await then()


async def roll_back(desk: Desk, then: Then) -> None:
    """Ask, and go back to what was live before; a canary is only taken away."""
    deployed, target = await desk.read(_target)
    gone = deployed.canary_id or deployed.live_id
    meaning = (
        f"{_first(target)} answers everybody, also those whom {gone} answers now. {_WHEN} {gone} stays "
        "on record and can be promoted again."
    )
    if not await theme.confirm(f"Roll {gone} back?", meaning, "Roll back", danger=True):
        return
    who = await desk.allow("operator")
    wish = routes.Rollback(reason=f"rolled back in the console by {who.name or who.actor}")
    await routes.rollback(desk.parts, who, wish)
    desk.say(f"{_first(target)} answers everybody now.")
    await then()


async def compare(desk: Desk, a: str, b: str, then: Then) -> None:
    """Ask, and let two versions answer half of the people each."""
    meaning = (
        f"Half of the people are answered by {named(a)}, the other half by {named(b)}, whatever is "
        f"live now; nobody changes sides. Nothing follows by itself: ending it brings back what was "
        f"live. {_WHEN}"
    )
    if not await theme.confirm("Compare them on people?", meaning, "Start the comparison"):
        return
    who = await desk.allow("operator")
    wish = comparisons.Comparison(
        a=a, b=b, share=0.5, reason=f"compared in the console by {who.name or who.actor}"
    )
    await comparisons.start(wish, desk.parts, who)
    desk.say("Both answer now.")
    await then()


async def stop_comparing(desk: Desk, then: Then) -> None:
    """Ask, and end an A/B comparison."""
    if not await theme.confirm(
        "End the comparison?", f"What was live before it answers everybody again. {_WHEN}", "End it"
    ):
        return
    who = await desk.allow("operator")
    await comparisons.stop(desk.parts, who)
    desk.say("The comparison has ended.")
    await then()


def _first(adapter_id: str | None) -> str:
    """A version where a sentence begins with it; an id is written as it is."""
    said = named(adapter_id)
    return said if said == adapter_id else said[:1].upper() + said[1:]


def named(adapter_id: str | None) -> str:
    """Return a version as a sentence names it."""
    return "the base model" if adapter_id is None or adapter_id == BASE else adapter_id


def _ends(deployed: Deployment | None, *, but: str) -> str:
    if deployed is None or deployed.canary_id in (None, but):
        return ""
    what = "comparison with" if deployed.mode == "ab" else "canary"
    return f" The {what} {deployed.canary_id} ends."


def _stays(desk: Desk) -> str:
    if desk.parts.settings.trainer.canary_automatic:
        return "It goes or stays by itself, as their votes say."
    return "Whether it goes or stays is for you to decide (`trainer.canary_automatic` is off)."


def _target(session: Session) -> tuple[Deployment, str | None]:
    target = registry.rollback_target(session)
    deployed = registry.live(session)
    assert deployed is not None  # or there were no target
    return deployed, target
