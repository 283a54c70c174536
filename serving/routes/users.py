"""``/v1/users``: forgetting people."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from serving.context import AsAdmin, Parts
from serving.forgetting import forget

router = APIRouter(tags=["users"])


@router.delete("/v1/users/{user:path}")
def delete(
    user: Annotated[
        str,
        Path(
            min_length=1,
            max_length=512,
            description="A name as clients send it, an API key's id, or a keyed hash (`per_…`).",
        ),
    ],
    parts: Parts,
    who: AsAdmin,
    *,
    dry_run: Annotated[bool, Query(description="Only say what would be erased.")] = False,
) -> dict[str, Any]:
    """Erase a person everywhere, and list the adapters that learned from them. Idempotent.

    409 while a round runs: it may be learning from them.
    """
    done = forget(parts.store, parts.people, user, actor=who.actor, dry_run=dry_run)
    return done.to_json()
