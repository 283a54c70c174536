"""An app's page with the widget on it, under a strict policy, and what a test reads there."""

from playwright.sync_api import Locator, Page
from sqlmodel import col, select

from feedback.models import Feedback
from tests.builders import receipt_of
from tests.serving.conftest import Server
from tests.serving.test_tokens import token

ANSWER = "The aurora lamp costs 49 dollars and comes in blue."
STRICT = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def shown(
    server: Server,
    page: Page,
    attributes: str = "",
    *,
    said: str = ANSWER,
    above: int = 0,
    **fields: object,
) -> str:
    """Open an app's page with an answer and the widget, under a strict policy; returns its id."""
    completion = server.asked(user="dora")
    held = token(server, completion, **fields)
    place(page, server.url, completion, held, attributes, said=said, above=above)
    return completion


def place(
    page: Page,
    url: str,
    completion: str,
    held: str,
    attributes: str = "",
    *,
    said: str = ANSWER,
    above: int = 0,
) -> None:
    text = said.replace("&", "&amp;").replace("<", "&lt;")
    body = (
        f'<!doctype html><html lang="en"><title>Shop</title><script src="/widget.js"></script>'
        f'{"<br>" * above}<p id="answer">{text}</p><a href="#">before</a>'
        f'<heed-feedback completion="{completion}" token="{held}" answer="#answer" {attributes}>'
        f"</heed-feedback></html>"
    )
    page.route(
        f"{url}/shop",
        lambda route: route.fulfill(
            body=body, headers={"content-type": "text/html", "content-security-policy": STRICT}
        ),
    )
    page.goto(f"{url}/shop")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def status(page: Page) -> Locator:
    """What a screen reader is told."""
    return page.get_by_role("status")


def looked(page: Page) -> None:
    """Wait until the browser has looked once more what is on the screen."""
    page.evaluate(
        "() => new Promise((seen) => new IntersectionObserver(seen).observe(document.body))"
    )


def kept(server: Server, completion: str) -> list[Feedback]:
    """What was taken on an answer, signals apart, oldest first."""
    query = select(Feedback).where(Feedback.exchange_id == completion)
    with server.store.session() as session:
        rows = session.exec(query.order_by(col(Feedback.id)))
        return [row for row in rows if row.signal is None]


def standing(server: Server, completion: str) -> list[Feedback]:
    """Of that, what was not taken back."""
    rows = kept(server, completion)
    return [row for row in rows if receipt_of(server.store, row.id).status != "withdrawn"]


def signals(server: Server, completion: str) -> dict[str, float | None]:
    """The signals that were taken on an answer, by name."""
    with server.store.session() as session:
        rows = session.exec(select(Feedback).where(Feedback.exchange_id == completion)).all()
    return {row.signal: row.body.get("value") for row in rows if row.signal}
