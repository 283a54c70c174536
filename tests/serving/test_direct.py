"""The route that goes past the framework's own way of calling it, and how the server is set up."""

import gc
import sys
from collections.abc import Iterator

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.testclient import TestClient

from feedback.errors import Invalid
from serving.commands import server as command
from serving.routes.direct import Direct, Shortcut
from tests.serving.conftest import Server, fault


@pytest.fixture
def _set_up_again() -> Iterator[None]:
    threshold, switch = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    sys.setswitchinterval(switch)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_refused_by_name(server: Server, method: str) -> None:
    answer = server.http.request(method, "/v1/feedback")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    fault(answer)


def test_it_is_described_with_its_body_its_answers_and_its_errors(server: Server) -> None:
    paths = server.http.get("/openapi.json").json()["paths"]
    said = paths["/v1/feedback"]["post"]
    assert set(said["responses"]) == {"200", "201", "4XX"}
    assert said["responses"]["4XX"] == paths["/v1/feedback/batch"]["post"]["responses"]["4XX"]
    assert "rating" in said["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert said["tags"] == ["feedback"]


def test_it_is_counted_under_its_route_whatever_it_answers(own: Server) -> None:
    own.told(completion_id=own.asked(), rating="up")
    assert own.tell(completion_id="chatcmpl-none", rating="up").status_code == 404
    told = own.http.get("/metrics").text
    for status in (201, 404):
        wanted = f'{{handler="/v1/feedback",method="POST",status="{status}"}} 1.0'
        assert f"heed_http_requests_total{wanted}" in told


def test_an_address_beside_it_is_another_route(server: Server) -> None:
    name = server.told(completion_id=server.asked(), rating="up")
    assert server.http.get(f"/v1/feedback/{name}").status_code == 200
    assert server.http.post(f"/v1/feedback/{name}", json={}).status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "root_path", "found"),
    [
        ("POST", "/asked", "", "the shortcut: /asked"),
        ("POST", "/wrong", "", "what it says of faults: no"),
        ("GET", "/asked", "", "all else"),
        ("POST", "/asked/more", "", "all else"),
        ("POST", "/asked", "/behind", "all else"),  # the framework takes what was put in front off
    ],
)
def test_the_shortcut_takes_exactly_what_is_asked_directly(
    method: str, path: str, root_path: str, found: str
) -> None:
    http = TestClient(_with_shortcut(), root_path=root_path)
    assert http.request(method, path).text == found


def test_a_bug_behind_the_shortcut_is_left_to_who_sees_to_bugs() -> None:
    with pytest.raises(ZeroDivisionError):
        TestClient(_with_shortcut()).post("/bug")


def _with_shortcut() -> Shortcut:
    routes = APIRouter(route_class=Direct)

    @routes.post("/asked")
    async def asked(request: Request) -> Response:
        return Response(f"the shortcut: {request.scope['route'].path}")

    @routes.post("/wrong")
    async def wrong(request: Request) -> Response:
        raise Invalid("no")

    @routes.post("/bug")
    async def bug(request: Request) -> Response:
        raise ZeroDivisionError

    async def fault(request: Request, error: Exception) -> Response:
        return Response(f"what it says of faults: {error}")

    rest = FastAPI()

    @rest.api_route("/{path:path}", methods=["GET", "POST"])
    def everything(path: str) -> Response:
        return Response("all else")

    return Shortcut(rest, routes=routes.routes, fault=fault)


@pytest.mark.usefixtures("_set_up_again")
def test_a_running_server_leaves_what_was_loaded_out_of_collections() -> None:
    command._settle()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == command.YOUNG_OBJECTS
    assert sys.getswitchinterval() == pytest.approx(command.SWITCH_SECONDS)
