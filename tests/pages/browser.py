"""Pages in a real browser: Debian's Chromium, led by Playwright. What it complains of is kept, and fails the test.

Chromium comes from the system, not from Playwright: `apt-get install chromium`.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.pages.visitor import KEY

WIDTHS = {"desktop": 1280, "tablet": 768, "phone": 360}
Scheme = Literal["light", "dark"]

_ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-proxy-server"]
_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""
_SERIOUS = frozenset({"serious", "critical"})
_PATIENCE_MS = 20_000


@dataclass
class Looker:
    """Somebody at a browser, and what the browser complained of meanwhile."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(_PATIENCE_MS)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script failed: {error}"))
        self.page.on("request", self._note_request)

    def go(self, path: str, *, status: int = 200) -> Page:
        """Open a page; it is checked like any other."""
        answer = self.page.goto(self.address + path)
        assert answer is not None
        assert answer.status == status, (path, answer.status)
        if status >= 400:
            # The browser itself complains of such an answer, once.
            self.complaints.remove(next(said for said in self.complaints if f"a status of {status}" in said))
        self.check(path)
        return self.page

    def sign_in(self, key: str = KEY) -> "Looker":
        self.go("/ui/sign-in")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.address}/ui")
        return self

    def check(self, what: str = "") -> None:
        """Nothing was complained of, and nothing of the page is beyond its right edge."""
        beyond = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond <= 0, f"{what or self.page.url} is {beyond} pixels too wide"
        assert self.complaints == [], what or self.page.url

    def check_access(self) -> None:
        """axe finds nothing serious, in light and in dark."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            found: dict[str, Any] = Axe().run(self.page, options={"resultTypes": ["violations"]}).response
            serious = [
                f"{scheme}: {violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
                for violation in found["violations"]
                if violation["impact"] in _SERIOUS
                for node in violation["nodes"]
            ]
            assert serious == [], self.page.url

    def check_print(self) -> None:
        """The page can be printed, without what is only for the screen."""
        self.page.emulate_media(media="print")
        assert self.page.pdf(format="A4").startswith(b"%PDF")
        assert not self.page.locator("nav.main").is_visible()
        self.page.emulate_media(media="screen")

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} {message.location}")

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and f"{parts.scheme}://{parts.netloc}" != self.address:
            self.complaints.append(f"asked for {request.url}")


Look = Callable[..., Looker]
"""Opens a window: look(width=360, scheme="dark", scripts=False)."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Fails where there is none, and says how to get it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "These tests need Chromium: apt-get install chromium (CONTRIBUTING.md)."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def windows(browser: Browser, address: str) -> Iterator[Look]:
    """What opens windows on that site; all are closed behind."""
    contexts: list[BrowserContext] = []

    def look(*, width: int = 1280, scheme: Scheme = "light", scripts: bool = True) -> Looker:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts, locale="en-GB"
        )
        context.add_init_script(_TELL_VIOLATIONS)
        contexts.append(context)
        return Looker(context.new_page(), address)

    try:
        yield look
    finally:
        for context in contexts:
            context.close()
