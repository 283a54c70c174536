"""An answer that the engine broke off is in the log, so that a version that breaks is found out."""

from collections.abc import AsyncIterator

import pytest
from sqlmodel import select

from feedback.errors import Invalid, Unavailable
from feedback.models import Exchange
from feedback.settings import FeedbackSettings
from serving.engines.base import Chunk, GenerationRequest
from serving.engines.echo import EchoEngine
from tests.serving.conftest import Server, on_sqlite, running, wait_until

pytestmark = on_sqlite


class Breaking(EchoEngine):
    """Says a word and breaks; or finds fault with the request, where that begins with "wrong"."""

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        async def broken() -> AsyncIterator[Chunk]:
            async for chunk in super(Breaking, self).generate(request):
                yield chunk
                if chunk.text == "wrong":
                    raise Invalid("This cannot be answered.", param="messages")
                raise Unavailable("The engine died.")

        return broken()


def logged(server: Server) -> list[Exchange]:
    with server.store.session() as session:
        return list(session.exec(select(Exchange)))


@pytest.mark.parametrize("stream", [False, True])
def test_a_broken_answer_is_logged_as_failed(settings: FeedbackSettings, stream: bool) -> None:
    with running(settings, Breaking()) as server:
        answer = server.chat(stream=stream)
        assert "The engine died." in answer.text
        wait_until(lambda: logged(server))
        (row,) = logged(server)
    assert (row.state, row.adapter_id) == ("failed", "base")
    assert row.seconds is not None and row.seconds > 0


def test_a_request_that_cannot_be_honoured_is_nobodys_failure(settings: FeedbackSettings) -> None:
    with running(settings, Breaking()) as server:
        assert server.chat("wrong question").status_code == 400
        streamed = server.chat("wrong question", stream=True)
        assert "This cannot be answered." in streamed.text
        wait_until(lambda: logged(server))
        assert [row.state for row in logged(server)] == ["partial"]
