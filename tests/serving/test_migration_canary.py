"""What was deployed and logged before anybody compared versions is kept, there and back."""

from sqlmodel import text

from feedback.store import Store
from serving import schema
from tests.serving.test_migration_scale import at, put

BEFORE, AFTER = "0004", "0005"


def test_deployments_of_before_are_ordinary_ones(empty_store: Store) -> None:
    at(empty_store, BEFORE)
    row = {"id": "dep_1", "project_id": "default", "generation": 1, "canary_share": 0.0}
    put(empty_store, "deployment", **row, reason="first", actor="ana", created_at=1.0)
    at(empty_store, AFTER)
    with empty_store.session() as session:
        modes = session.connection().execute(text("SELECT mode FROM deployment")).scalars().all()
    assert modes == ["canary"]
    at(empty_store, BEFORE, down=True)
    at(empty_store, schema.head() or AFTER)
    assert schema.drift(empty_store) == []
