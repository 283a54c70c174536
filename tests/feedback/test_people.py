"""People are keyed hashes, and the key is kept."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feedback.errors import Invalid
from feedback.people import KEY_FILE, PeopleKey, people_key


def test_the_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    made = people_key(tmp_path / "data")
    assert people_key(tmp_path / "data") == made
    assert len(made.secret) == 32
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_threads_that_start_together_end_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: people_key(tmp_path), range(16)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("content", ["", "abcd", "no hex at all, whatever its length may be" * 2])
def test_refuses_a_damaged_key_instead_of_hashing_with_a_weak_one(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / KEY_FILE).write_text(content)
    with pytest.raises(Invalid, match=KEY_FILE):
        people_key(tmp_path)


def test_a_name_hashes_differently_under_another_key() -> None:
    one, two = PeopleKey(b"1" * 32), PeopleKey(b"2" * 32)
    assert one.person_id("ana") == one.person_id("ana")
    assert one.person_id("ana") != two.person_id("ana")
    assert one.id != two.id
    assert "ana" not in one.person_id("ana")
