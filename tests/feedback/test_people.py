"""People are keyed hashes, and the key is kept."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feedback.errors import Invalid
from feedback.people import KEY_FILE, PeopleKey, people_key, rotate


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


def test_a_rotated_key_finds_people_under_the_old_ones(tmp_path: Path) -> None:
    first = people_key(tmp_path)
    second, third = rotate(tmp_path), rotate(tmp_path)
    assert people_key(tmp_path) == third
    assert [key.id for key in third.older] == [second.id, first.id]
    assert third.person_ids("ana") == tuple(key.person_id("ana") for key in (third, second, first))
    assert len({key.id for key in (first, second, third)}) == 3
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_one_damaged_line_among_the_old_keys_is_refused(tmp_path: Path) -> None:
    people_key(tmp_path)
    rotate(tmp_path)
    path = tmp_path / KEY_FILE
    path.write_text(path.read_text()[:-1])
    with pytest.raises(Invalid, match=KEY_FILE):
        people_key(tmp_path)


def test_somebody_is_traced_by_name_by_key_and_by_hash(tmp_path: Path) -> None:
    first = people_key(tmp_path)
    key = rotate(tmp_path)
    assert first.person_id("user:ana") in key.traceable("ana")
    assert key.person_id("key:key_1") in key.traceable("key_1")
    hashed = first.person_id("user:ben")
    assert hashed in key.traceable(hashed)
    assert "per_short" not in key.traceable("per_short")
