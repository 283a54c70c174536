"""The settings as people read them: documented, up to date, and clear where they do not hold."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from feedback.errors import Invalid
from serving.commands import settings_text
from serving.settings import Settings, load
from tests.serving.command_line import document, done, fault

ROOT = Path(__file__).parent.parent


def test_every_setting_is_described() -> None:
    for each in settings_text.declared():
        assert each.description.endswith(("…", ".")) or "…" in each.description, each


def test_the_committed_documents_are_up_to_date() -> None:
    for name, shape in (("docs/settings.md", "markdown"), ("heed.example.toml", "toml")):
        committed = (ROOT / name).read_text(encoding="utf-8")
        remedy = f"run `heed config show --format {shape} > {name}`"
        assert committed == done("config", "show", "--format", shape), remedy


def test_the_example_file_holds_as_it_is_and_uncommented(tmp_path: Path) -> None:
    defaults = Settings()
    (tmp_path / "heed.toml").write_text(settings_text.toml())
    assert load() == defaults
    uncommented = re.sub(r"(?m)^#(\w+ = )(?! # unset)", r"\1", settings_text.toml())
    uncommented = re.sub(r"(?m)^\w+ = +# unset.*$", "", uncommented)
    (tmp_path / "heed.toml").write_text(uncommented)
    written = tomllib.loads(uncommented)
    for each in settings_text.declared():
        if each.default is not None:
            assert written[each.section][each.name] == settings_text.plain(each.default)
    assert load() == defaults


def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heed.toml").write_text('[serving]\nport = 1\nhost = "10.0.0.1"\nthreads = 3\n')
    monkeypatch.setenv("HEED_SERVING__PORT", "2")
    monkeypatch.setenv("HEED_SERVING__HOST", "10.0.0.2")
    serving = load(serving={"port": 4}).serving
    assert (serving.port, serving.host, serving.threads) == (4, "10.0.0.2", 3)


def test_show_says_where_each_value_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heed.toml").write_text("[trainer]\nrank = 4\nseed = 5\n")
    monkeypatch.setenv("HEED_TRAINER__SEED", "6")
    monkeypatch.setenv("HEED_SERVING", json.dumps({"port": 7}))
    shown = {row["name"]: row for row in document("config", "show")["data"]}
    assert set(shown) == {f"{each.section}.{each.name}" for each in settings_text.declared()}
    assert (shown["trainer.rank"]["value"], shown["trainer.rank"]["source"]) == (4, "heed.toml")
    assert shown["trainer.seed"]["value"] == 6
    assert shown["trainer.seed"]["source"] == "HEED_TRAINER__SEED"
    assert (shown["serving.port"]["value"], shown["serving.port"]["source"]) == (7, "HEED_SERVING")
    assert shown["trainer.alpha"]["source"] == "default"
    assert "HEED_TRAINER__SEED" in done("config", "show")


def test_show_keeps_the_password_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "HEED_FEEDBACK__DATABASE_URL", "postgresql+psycopg://heed:hunter2@localhost/heed"
    )
    for shown in (done("config", "show"), json.dumps(document("config", "show"))):
        assert "hunter2" not in shown
        assert "heed:***@localhost" in shown


def test_every_misspelt_name_is_listed_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heed.toml").write_text("[trainer]\nreplay_shares = 0.5\n")
    monkeypatch.setenv("HEED_SERVING__PORT", "many")
    monkeypatch.setenv("HEED_SERVICE__PORT", "1")
    with pytest.raises(Invalid) as caught:
        load()
    for place in ("trainer.replay_shares", "HEED_SERVING__PORT", "HEED_SERVICE__PORT"):
        assert place in caught.value.message


def test_show_lists_the_names_where_the_settings_do_not_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEED_TRAINER__REPLAY_SHARES", "0.5")
    assert "trainer.replay_shares" in fault("config", "show")
