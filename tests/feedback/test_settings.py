"""Settings: file, environment, flags, and faults with their place."""

from pathlib import Path

import pytest

from feedback.errors import Invalid
from feedback.settings import FeedbackSettings, HeedSettings, load_settings


def test_flags_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("heed.toml").write_text(
        "[feedback]\nquorum_accounts = 4\naccount_cap_minimum = 5\nmax_text_bytes = 6\n"
    )
    monkeypatch.setenv("HEED_FEEDBACK__ACCOUNT_CAP_MINIMUM", "7")
    monkeypatch.setenv("HEED_FEEDBACK__MAX_TEXT_BYTES", "8")
    found = load_settings(HeedSettings, feedback={"max_text_bytes": 9}).feedback
    assert (found.quorum_accounts, found.account_cap_minimum, found.max_text_bytes) == (4, 7, 9)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[feedback]\nquorum_accounts = 1\n", "feedback.quorum_accounts"),
        ("[feedback]\nquorum_acounts = 3\n", "feedback.quorum_acounts"),
        ("[fedback]\n", "fedback"),
        ("[feedback\n", "heed.toml"),
        ("a = \xff", "heed.toml"),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_place(toml: str, named: str) -> None:
    Path("heed.toml").write_bytes(toml.encode("latin-1"))
    with pytest.raises(Invalid, match=named):
        load_settings(HeedSettings)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("HEED_FEDBACK__DATA_DIR", "x", "HEED_FEDBACK__DATA_DIR"),
        ("HEED_FEEDBACK__DATA_DUR", "x", "data_dur"),
        ("HEED_FEEDBACK__QUORUM_ACCOUNTS", "few", "HEED_FEEDBACK__QUORUM_ACCOUNTS"),
        ("HEED_FEEDBACK", "{not json", "feedback"),
    ],
)
def test_a_fault_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Invalid, match=named):
        load_settings(HeedSettings)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in FeedbackSettings.model_fields.values())
