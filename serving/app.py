"""The composition root: builds every part, and the HTTP application around them.

Importing this loads no torch; the local engine is imported when it starts.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from feedback import privacy
from feedback.errors import Busy, HeedError, Invalid, NotFound, TooLarge
from feedback.people import people_key
from feedback.store import Store
from feedback.submission import first_fault
from serving import logs, oidc, schema, tracing, wire
from serving.auth import KeyRing
from serving.body_limit import BodyLimit
from serving.context import Heed
from serving.cors import FeedbackCors
from serving.engines.base import Engine
from serving.engines.measured import Measured
from serving.measured import MeasuredIntake, MeasuredSwap
from serving.metrics import Metrics, Readings
from serving.routes import (
    adapters,
    audit,
    chat,
    comparisons,
    completions,
    docs,
    feedback,
    feedback_batch,
    feedback_reports,
    health,
    insights,
    keys,
    ledger,
    pairs,
    people,
    review_items,
    review_team,
    reviews,
    rounds,
    sign_in,
    sign_in_oidc,
    signals,
    tokens,
    users,
    watch,
    widget,
)
from serving.routes import metrics as metrics_route
from serving.routes.direct import Shortcut
from serving.routing import Router
from serving.scheduler import Scheduler
from serving.sessions import Sessions
from serving.settings import Role, Settings
from serving.tokens import KEY_FILE, Tokens
from trainer.base_folder import threads

log = logging.getLogger("heed")

BATCH_BYTES = 16 * 1024 * 1024
ALL_ROLES: tuple[Role, ...] = ("api", "console", "scheduler")


def create_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    roles: Sequence[Role] = ALL_ROLES,
    ready: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Build the application.

    Args:
        settings: everything it needs to know.
        engine: answers; by default the one that the settings name.
        roles: what this process does besides answering HTTP.
        ready: called once Heed can answer.
    """
    metrics = Metrics()
    spans = tracing.spans(settings)
    signing_in = oidc.provider(settings.serving) if "console" in roles else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = Store(settings.feedback)
        await asyncio.to_thread(schema.upgrade, store)
        await asyncio.to_thread(privacy.ready, settings.feedback)
        answering = engine or make_engine(settings)
        router = Router()
        replica = f"{socket.gethostname()}:{os.getpid()}"
        parts = Heed(
            settings=settings,
            store=store,
            intake=MeasuredIntake(store, settings.feedback, metrics),
            people=people_key(settings.feedback.data_dir),
            keys=KeyRing(store),
            sessions=Sessions(store, settings.serving),
            tokens=make_tokens(settings),
            engine=Measured(answering, metrics, spans),
            router=router,
            # Its probes are no answers to anybody, so they go past what is measured.
            swap=MeasuredSwap(store, answering, router, replica, metrics),
            scheduler=Scheduler(store, settings),
            metrics=metrics,
            oidc=signing_in,
        )
        app.state.heed = parts
        readings = Readings(answering, router, store, settings.trainer, parts.scheduler.canary)
        async with contextlib.AsyncExitStack() as ending:
            ending.callback(store.close)
            if spans is not None:
                ending.push_async_callback(asyncio.to_thread, spans.close)
            metrics.registry.register(readings)
            ending.callback(metrics.registry.unregister, readings)
            parts.intake.start()
            ending.push_async_callback(asyncio.to_thread, parts.intake.stop)
            if "scheduler" in roles:
                parts.scheduler.prepare()
                ending.push_async_callback(asyncio.to_thread, parts.scheduler.stop)
            await ending.enter_async_context(console())
            await answering.start()
            ending.push_async_callback(answering.stop)
            try:
                await parts.swap.sync()
            except HeedError as fault:
                route = await parts.swap.fall_back()
                log.error("%s answers, for what is deployed cannot: %s", route.live, fault.message)
            follower = asyncio.create_task(parts.swap.follow(settings.serving.swap_poll_seconds))
            ending.push_async_callback(_end, parts, follower)
            if "scheduler" in roles:
                parts.scheduler.start()
                # Also before what was started since: no round is begun on the way out.
                ending.push_async_callback(asyncio.to_thread, parts.scheduler.stop)
            ready()
            yield

    # The framework's own page of documentation loads its scripts from elsewhere.
    app = FastAPI(
        title="Heed",
        summary="The chatbot that learns from its users.",
        version=importlib.metadata.version("heed"),
        lifespan=lifespan,
        routes=feedback.busiest.routes,  # before all others
        docs_url=None,
        redoc_url=None,
        responses=wire.ERRORS,
    )
    app.add_middleware(Shortcut, routes=feedback.busiest.routes, fault=_heed_error)
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.serving.max_body_bytes,
        wider={"/v1/feedback/batch": BATCH_BYTES},
    )
    if settings.serving.widget_origins:
        app.add_middleware(FeedbackCors, origins=settings.serving.widget_origins)
    app.add_middleware(logs.RequestLog, answered=metrics.answered)
    # What is asked most comes first: an address is compared with one route after the other.
    for module in (
        feedback_reports,  # before the route that takes any other name for a piece of feedback
        feedback,
        feedback_batch,
        chat,
        completions,
        tokens,
        signals,
        widget,
        review_team,
        reviews,
        review_items,
        insights,
        rounds,
        comparisons,  # before the route that takes any other name for an adapter
        adapters,
        users,
        people,
        keys,
        audit,
        health,
        ledger,
        pairs,
        watch,
        metrics_route,
        docs,
    ):
        app.include_router(module.router)
    console = _console(app, roles)
    _say_faults(app)
    return app


def make_engine(settings: Settings) -> Engine:
    """Return the engine that the settings name, not started."""
    if settings.serving.engine == "echo":
        from serving.engines.echo import EchoEngine

        return EchoEngine()
    if settings.serving.engine == "vllm":
        from serving.engines.vllm import VllmEngine

        key = settings.serving.vllm_key
        return VllmEngine(
            settings.trainer.base_model,
            settings.serving.vllm_url,
            settings.feedback.data_dir / "adapters",
            key.get_secret_value() if key else None,
        )
    from serving.engines.local import LocalEngine
    from serving.engines.supervised import SupervisedEngine

    def local() -> Engine:
        return LocalEngine(
            settings.trainer.base_model,
            threads=settings.serving.threads or max(1, threads(None) // 2),
            max_batch=settings.serving.max_batch,
        )

    return SupervisedEngine(local, max_restarts=settings.serving.engine_restarts)


def make_tokens(settings: Settings) -> Tokens:
    """Return what signs feedback tokens.

    Raises:
        Invalid: its secrets are none.
    """
    given = settings.serving.token_secrets
    return Tokens(
        given.get_secret_value() if given else None, settings.feedback.data_dir / KEY_FILE
    )


def _console(
    app: FastAPI, roles: Sequence[Role]
) -> Callable[[], contextlib.AbstractAsyncContextManager[Any]]:
    """Put the console under the application, where that is its role; returns what it runs in."""
    if "console" not in roles:
        return contextlib.nullcontext
    from serving.console.mount import mount

    app.include_router(sign_in.router)
    app.include_router(sign_in_oidc.router)
    return mount(app, lambda: app.state.heed)


def _say_faults(app: FastAPI) -> None:
    app.add_exception_handler(HeedError, _heed_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)


async def _end(parts: Heed, follower: "asyncio.Task[None]") -> None:
    follower.cancel()
    await asyncio.gather(follower, *parts.tasks, return_exceptions=True)
    await parts.swap.stop()


def _takes_feedback(request: Request) -> bool:
    return request.url.path.startswith(("/v1/feedback", "/v1/reviews"))


async def _heed_error(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HeedError)
    status = wire.STATUS[fault.code]
    if fault.code == "invalid" and _takes_feedback(request):
        status = 422
    headers = None
    if fault.code in ("busy", "unavailable", "full"):
        headers = {"Retry-After": str(fault.after_seconds if isinstance(fault, Busy) else 1)}
    return _json(wire.error(fault), status, headers)


async def _validation_error(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    first = fault.errors()[0]
    if first["type"] == "json_invalid":
        said = first.get("ctx", {}).get("error", "it ends early")
        error = Invalid(f"The body is not JSON: {said} at character {first['loc'][-1]}.")
    else:
        message, param = first_fault(fault, skip=("body", "query", "path", "header"))
        error = Invalid(message, param=param)
    return _json(wire.error(error), 422 if _takes_feedback(request) else 400)


async def _http_error(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    kinds = {404: NotFound, 413: TooLarge}
    said = str(fault.detail)
    if fault.status_code == 404:
        said = f"There is no {request.method} {request.url.path}; see /docs."
    error = kinds.get(fault.status_code, Invalid)(said)
    return _json(wire.error(error), fault.status_code, fault.headers)


async def _bug(request: Request, fault: Exception) -> Response:
    log.exception("unexpected failure in %s %s", request.method, request.url.path, exc_info=fault)
    content = {
        "error": {
            "message": "Heed failed in a way it did not expect; its log says more.",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }
    return _json(content, 500, logs.stamp())  # sent from beyond what stamps the others


def _json(
    content: dict[str, Any], status: int, headers: Mapping[str, str] | None = None
) -> Response:
    # Escaped to ASCII: a message may quote half a surrogate pair, which UTF-8 cannot hold.
    return Response(json.dumps(content), status, headers, media_type="application/json")
