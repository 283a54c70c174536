"""How Heed's things look on the wire: errors, receipts, rounds, adapters. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from feedback.errors import ErrorCode, HeedError, Invalid
from feedback.intake import Kept
from feedback.models import Receipt
from feedback.review import Waiting
from serving import accounts
from serving.models import Account, ApiKey, AuditEntry
from trainer.models import Adapter, Deployment, Round, RoundEvent

STATUS: dict[ErrorCode, int] = {
    "invalid": 400,
    "too_large": 413,
    "unsupported": 415,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "busy": 429,
    "unavailable": 503,
    "full": 507,
}
TYPE: dict[ErrorCode, str] = {
    "invalid": "invalid_request_error",
    "too_large": "invalid_request_error",
    "unsupported": "invalid_request_error",
    "unauthorized": "authentication_error",
    "forbidden": "permission_error",
    "not_found": "invalid_request_error",
    "conflict": "invalid_request_error",
    "busy": "rate_limit_error",
    "unavailable": "server_error",
    "full": "server_error",
}
# Values of chat metadata are strings; these feedback fields are not.
_FROM_STRING: dict[str, Callable[[str], Any]] = {
    "choice": int,
    "scale": int,
    "value": float,
    "survey": json.loads,
    "created_at": lambda text: float(text) if text.replace(".", "", 1).isdecimal() else text,
}


class Fault(BaseModel):
    """What is wrong, for a person and for a program."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """Every error, in the shape that OpenAI's clients read."""

    error: Fault


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "What is wrong, and where."}
}
"""How the API's description tells of errors."""


def error(fault: HeedError) -> dict[str, Any]:
    """Return the OpenAI error shape."""
    return {
        "error": {
            "message": fault.message,
            "type": TYPE[fault.code],
            "param": fault.param,
            "code": fault.code,
        }
    }


def page(rows: Sequence[dict[str, Any]], *, more: bool = False) -> dict[str, Any]:
    """Return a list as every route gives it; `next` is the cursor of the next page."""
    return {
        "object": "list",
        "data": list(rows),
        "has_more": more,
        "next": rows[-1]["id"] if more and rows else None,
    }


def receipt(found: Receipt | Kept, completion_id: str | None) -> dict[str, Any]:
    """Return a receipt."""
    return {
        "id": found.feedback_id,
        "object": "feedback.receipt",
        "status": found.status,
        "completion_id": completion_id,
        "reason": found.reason,
        "round": found.round_id,
        "adapter": found.adapter_id,
        "role": found.role,
    }


def waiting(item: Waiting, conflicts: Sequence[str]) -> dict[str, Any]:
    """Return one piece of feedback as a reviewer needs it."""
    exchange = item.exchange
    return {
        "id": item.feedback.id,
        "object": "feedback.review",
        "status": item.receipt.status,
        "reason": item.receipt.reason,
        "person": item.feedback.person_id,
        "feedback": item.feedback.body,
        "completion_id": item.feedback.exchange_id,
        "messages": exchange.messages if exchange else None,
        "answer": exchange.choices[item.feedback.choice]["text"] if exchange else None,
        "adapter": exchange.adapter_id if exchange else None,
        "conflicts": list(conflicts),
        "created_at": item.feedback.received_at,
    }


def round_(
    row: Round,
    *,
    curve: Sequence[dict[str, Any]] | None = None,
    pairs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a round.

    Args:
        curve: its loss curve, where it is asked for alone.
        pairs: what reviewers made of its answers, likewise.
    """
    return {
        **({} if curve is None else {"curve": list(curve)}),
        **({} if pairs is None else {"pairs": pairs}),
        "id": row.id,
        "object": "round",
        "state": row.state,
        "stage": row.stage,
        "progress": row.progress,
        "message": row.message,
        "trigger": row.trigger,
        "incumbent": row.incumbent_id,
        "adapter": row.candidate_id,
        "counts": row.counts,
        "report": row.shown_report,
        "plan": row.plan,
        "attempts": row.attempts,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def event(row: RoundEvent) -> dict[str, Any]:
    """Return one line of a round's progress."""
    return {
        "id": row.id,
        "stage": row.stage,
        "progress": row.progress,
        "message": row.message,
        "data": row.data,
        "at": row.at,
    }


def adapter(row: Adapter) -> dict[str, Any]:
    """Return an adapter."""
    return {
        "id": row.id,
        "object": "adapter",
        "state": row.state,
        "parent": row.parent_id,
        "digest": row.digest,
        "round": row.round_id,
        "base_model": row.base_model,
        "created_at": row.created_at,
    }


def account(row: Account) -> dict[str, Any]:
    """Return an account, without anything of its password."""
    return {
        "id": row.id,
        "object": "account",
        "name": row.name,
        "role": row.role,
        "sign_in": "oidc" if accounts.is_elsewhere(row) else "local",
        "created_at": row.created_at,
    }


def key(row: ApiKey) -> dict[str, Any]:
    """Return an API key, without the key."""
    return {
        "id": row.id,
        "object": "key",
        "role": row.role,
        "name": row.name,
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
    }


def audited(row: AuditEntry, names: Mapping[str, str]) -> dict[str, Any]:
    """Return an entry of the audit log.

    Args:
        names: what people call the accounts and keys that it speaks of, by their ids.
    """
    return {
        "id": row.id,
        "object": "audit",
        "at": row.at,
        "actor": row.actor,
        "actor_name": names.get(row.actor),
        "action": row.action,
        "subject": row.subject,
        "subject_name": names.get(row.subject),
        "detail": row.detail,
    }


def deployment(row: Deployment | None) -> dict[str, Any]:
    """Return what is deployed."""
    return {
        "object": "deployment",
        "generation": row.generation if row else 0,
        "live": (row.live_id if row else None) or "base",
        "canary": row.canary_id if row else None,
        "canary_share": row.canary_share if row else 0.0,
        "mode": row.mode if row else "canary",
        "reason": row.reason if row else "the base model, as installed",
    }


def from_metadata(completion_id: str, metadata: Any) -> dict[str, Any]:
    """Return a feedback body from a chat completion's metadata, whose values are strings.

    Raises:
        Invalid: it is no object of strings, or a number in it is none.
    """
    if not isinstance(metadata, dict) or not metadata:
        raise Invalid(
            "Send `metadata` with feedback fields, such as {'rating': 'up'}.", param="metadata"
        )
    body: dict[str, Any] = {"completion_id": completion_id}
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise Invalid(f"`metadata.{name}` must be a string.", param=f"metadata.{name}")
        if name == "completion_id" and value != completion_id:
            raise Invalid(
                "`metadata.completion_id` names another completion than the address.",
                param="metadata.completion_id",
            )
        try:
            if name == "reasons":
                body[name] = [reason.strip() for reason in value.split(",")]
            elif name == "rating" and value not in ("up", "down"):
                body[name] = float(value)
            else:
                body[name] = _FROM_STRING.get(name, str)(value)
        except (ValueError, RecursionError) as fault:
            raise Invalid(
                f"`metadata.{name}` cannot be read: {value!r}.", param=f"metadata.{name}"
            ) from fault
    return body
