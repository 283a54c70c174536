"""Two versions side by side, by hand and for as long as somebody wants, on both databases."""

import pytest

from feedback.errors import Conflict, Invalid, NotFound
from feedback.store import Store
from tests.serving.canaries import canary, version
from trainer import ab, registry
from trainer.models import Adapter, Deployment


def start(store: Store, first: str, second: str, share: float = 0.5) -> Deployment:
    with store.session(write=True) as session:
        made = ab.start(session, first, second, share=share, actor="ana", reason="which?")
        session.commit()
    return made


def stop(store: Store) -> Deployment:
    with store.session(write=True) as session:
        made = ab.stop(session, actor="ana", reason="enough")
        session.commit()
    return made


def test_what_was_live_before_is_live_again(store: Store) -> None:
    live, first, second = version(store), version(store), version(store)
    with store.session(write=True) as session:
        registry.promote(session, live, actor="ana", reason="first")
        session.commit()
    made = start(store, first, second, 0.3)
    assert (made.live_id, made.canary_id, made.canary_share, made.mode) == (
        first,
        second,
        0.3,
        "ab",
    )
    again = start(store, second, first)  # another comparison takes its place
    assert (again.live_id, again.canary_id) == (second, first)
    after = stop(store)
    assert (after.live_id, after.canary_id, after.mode) == (live, None, "canary")
    with store.session() as session:
        states = {each.id: each.state for each in registry.adapters(session)}
    assert states == {live: "live", first: "retired", second: "retired"}
    with pytest.raises(Conflict, match="No A/B comparison"):
        stop(store)


@pytest.mark.parametrize("base_is_second", [False, True])
def test_the_base_model_can_be_one_of_the_two(store: Store, base_is_second: bool) -> None:
    name = version(store)
    pair = (name, ab.BASE) if base_is_second else (ab.BASE, name)
    made = start(store, *pair, 0.2)
    assert (made.live_id, made.canary_id) == (None, name)
    assert made.canary_share == pytest.approx(0.8 if base_is_second else 0.2)
    assert stop(store).live_id is None


def test_refuses_what_cannot_be_compared(store: Store) -> None:
    name = version(store)
    with pytest.raises(Invalid, match="with itself"):
        start(store, name, name)
    with pytest.raises(Invalid, match="share"):
        start(store, name, ab.BASE, 1.0)
    with pytest.raises(NotFound):
        start(store, name, "adp_none")
    with pytest.raises(Conflict, match="refused by the gate"):
        start(store, name, version(store, state="rejected"))
    deployed = canary(store)
    with pytest.raises(Conflict, match=f"{deployed.canary_id} is the canary now"):
        start(store, name, ab.BASE)
    with store.session() as session:
        assert session.get_one(Adapter, name).state == "candidate"
