"""A round on the smallest model: for every vote `heed receipt`, the API and the manifest agree."""

import json
from pathlib import Path

import pytest

from feedback import receipts
from feedback.people import people_key
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving.forgetting import forget
from tests import builders
from tests.serving.command_line import document, store_at
from tests.serving.conftest import running
from tests.trainer.shop import FACTS, priced, promoted, say
from trainer import snapshot
from trainer.models import Round


def play(store: Store, model: Path) -> tuple[dict[str, str], Round]:
    """Let people vote in every way there is, and a round learn from it; returns ids by what they are."""
    said: dict[str, str] = {}
    for name in FACTS:
        said[f"corrected {name}"] = priced(store, name)
    said["liked"] = say(store, "fan1", "Is it open?", "It is open.", rating="up")
    said["disliked"] = say(store, "foe1", "Is it far?", "It is far.", rating="down")
    said["praise of a wrong answer"] = say(
        store, "fan2", "What is the lamp?", "The lamp is 9 dollars.", rating="up"
    )
    about = builders.recorded(store, who="fan3", question="Is it new?", answer="It is new.")
    for at, rating in enumerate(("up", "down")):
        said[f"voted {rating}"] = builders.say(
            store, "fan3", completion_id=about, rating=rating, created_at=1_700_000_000 + at
        )
    said["with an address"] = priced(store, "mug", "Write to ana@mail.example.")
    worse = builders.recorded(store, who="fan4", question="Is it red?", answer="No idea.")
    said["preferred"] = builders.say(
        store,
        "fan4",
        completion_id=builders.recorded(
            store, who="fan4", question="Is it red?", answer="It is red."
        ),
        preferred_over=worse,
        survey={"sure?": "yes"},
    )
    said["refused by a reviewer"] = say(store, "foe2", "Is it big?", "Yes.", rating="down")
    builders.decide(store, said["refused by a reviewer"], "refuse")
    for number in range(4):
        said[f"too many {number}"] = say(store, "busy", f"Is it {number}?", "Yes.", rating="up")
    said["not decided"] = say(store, "fan5", "Is it old?", "No.", correction="Yes.")
    said["a remark"] = say(store, "fan6", "Is it blue?", "No.", comment="Hm.")
    said["a signal"] = say(store, "fan7", "Is it warm?", "No.", signal="copy")
    said["taken back"] = say(store, "fan8", "Is it cold?", "No.", rating="up")
    with store.session(write=True) as session:
        receipts.withdraw(session, said["taken back"])
        session.commit()
    people = people_key(store.settings.data_dir)
    said["forgotten"] = say(store, "gone", "Who am I?", "You are you.", rating="up")
    forget(store, people, builders.person("gone"), actor="test")
    return said, promoted(store, model, replay_share=0)


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> tuple[Path, dict[str, str], Round]:
    folder = tmp_path_factory.mktemp("agreeing")
    with pytest.MonkeyPatch.context() as patch:
        store = store_at(folder, patch)
    said, row = play(store, tiny_model)
    store.close()
    return folder, said, row


def test_every_vote_ends_in_the_one_state_that_all_three_tell(
    played: tuple[Path, dict[str, str], Round], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said, row = played
    manifest = json.loads((folder / "snapshots" / row.id / snapshot.MANIFEST).read_text())
    planned = manifest["feedback"]
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(folder))
    told = {}
    with running(FeedbackSettings(data_dir=folder)) as server:
        for name, feedback_id in said.items():
            told[name] = server.http.get(f"/v1/feedback/{feedback_id}").json()
            assert document("receipt", feedback_id) == told[name]
            if feedback_id in planned:
                agrees = {key: told[name][key] for key in ("status", "role")}
                assert agrees == planned[feedback_id], name
                assert told[name]["round"] == manifest["round"] == row.id
            else:
                assert told[name]["status"] not in ("used", "held_out"), name
                assert told[name]["round"] is None, name
    of_rows = {each for line in manifest["rows"] for each in line["feedback"]}
    used = {said[name] for name in told if told[name]["status"] == "used"}
    assert of_rows == used
    assert row.counts["used"] == len(used)
    held_out = [name for name in told if told[name]["status"] == "held_out"]
    assert row.counts["held_out"] == len(held_out) > 0
    for name in (*held_out, *(name for name in told if said[name] in used)):
        assert told[name]["adapter"] == row.candidate_id
        assert told[name]["role"] in told[name]["reason"]
    assert set(planned) <= set(said.values())


def test_each_state_is_told_with_its_reason(
    played: tuple[Path, dict[str, str], Round], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said, _ = played
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(folder))
    told = {name: document("receipt", feedback_id) for name, feedback_id in said.items()}
    rest = {
        name: (receipt["status"], receipt["role"])
        for name, receipt in told.items()
        if not name.startswith(("corrected", "too many"))
    }
    assert rest == {
        "liked": ("used", "verdict"),
        "disliked": ("used", "verdict"),
        "praise of a wrong answer": ("refused", None),
        "voted up": ("refused", "replaced"),
        "voted down": ("used", "verdict"),
        "with an address": ("refused", None),
        "preferred": ("used", "preference"),
        "refused by a reviewer": ("refused", None),
        "not decided": ("review", None),
        "a remark": ("review", None),
        "a signal": ("waiting", None),
        "taken back": ("withdrawn", None),
        "forgotten": ("forgotten", None),
    }
    assert "<EMAIL>" in told["with an address"]["reason"]
    assert "redaction_keep" in told["with an address"]["reason"]
    many = [told[f"too many {number}"]["status"] for number in range(4)]
    assert sorted(many) == ["used", "used", "waiting", "waiting"]
    assert {told[f"corrected {name}"]["status"] for name in FACTS} == {"used", "held_out"}
    assert {told[f"corrected {name}"]["role"] for name in FACTS} >= {"new corrections"}
