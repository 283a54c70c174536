"""Signing in by a provider in a real browser: over to its page, and back to the one that was wanted."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from feedback.settings import FeedbackSettings
from serving import accounts
from tests.journeys.browser import opened
from tests.journeys.test_console_accessible import grave
from tests.journeys.test_console_chat import picture
from tests.serving.conftest import Server, running
from tests.serving.oidc_provider import CLIENT, SECRET, Idp, provider


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    """The provider."""
    with provider() as started:
        yield started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, idp: Idp) -> Iterator[Server]:
    """Heed with a console that knows it, and an account of its own."""
    folder = FeedbackSettings(data_dir=tmp_path_factory.mktemp("oidc"))
    with running(
        folder,
        roles=("api", "console"),
        public_url="http://127.0.0.1",
        oidc_issuer=idp.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        oidc_roles={"heed-admins": "admin"},
        oidc_label="the shop's account",
    ) as server:
        known = server.parts.oidc
        assert known is not None  # where browsers reach it is known once it listens
        known.settings = known.settings.model_copy(update={"public_url": server.url})
        server.account("admin", "root")
        yield server


def test_somebody_signs_in_at_the_provider_and_out_again(
    served: Server, browser: Browser, idp: Idp
) -> None:
    with opened(browser) as tab:
        page = tab.page
        page.goto(f"{served.url}/console/settings")
        button = page.get_by_role("link", name="Sign in with the shop's account")
        expect(button).to_be_visible()
        expect(page.get_by_label("Password")).to_be_hidden()
        picture(page, "sign-in-provider")
        assert grave(page) == []
        button.click()
        page.get_by_role("link", name="Continue as Ada").click()
        page.wait_for_url(f"{served.url}/console/settings")
        expect(page.get_by_text("The sign-in provider has it")).to_be_visible()
        expect(page.get_by_label("New password", exact=True)).to_have_count(0)
        page.goto(f"{served.url}/console/settings/people")
        expect(page.get_by_text("by the sign-in provider")).to_be_visible()
        picture(page, "people-provider")
        page.get_by_role("button", name="Account of ada").click()
        page.get_by_role("button", name="Sign out", exact=True).click()
        expect(button).to_be_visible()
        page.goto(f"{served.url}/console/settings")
        expect(button).to_be_visible()


def test_whoever_is_refused_reads_why_and_can_still_use_a_password(
    served: Server, browser: Browser, idp: Idp
) -> None:
    idp.person = {"sub": "7", "preferred_username": "lin", "groups": ["visitors"]}
    with opened(browser, silent=False, viewport={"width": 390, "height": 844}) as tab:
        page = tab.page
        page.goto(f"{served.url}/console/sign-in")
        page.get_by_role("link", name="Sign in with the shop's account").click()
        page.get_by_role("link", name="Continue as Ada").click()
        expect(page.get_by_role("alert")).to_contain_text(
            "nothing that it says of you gives a role"
        )
        picture(page, "sign-in-refused")
        assert grave(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.get_by_text("Sign in with a password").click()
        page.get_by_label("Name").fill("root")
        page.get_by_label("Password").fill("a wrong password")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong.")
        expect(page.get_by_label("Password")).to_be_visible()
    with served.store.session() as session:
        assert accounts.find(session, "lin") is None
