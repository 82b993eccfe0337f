"""A headless Chromium that tests look at pages with, driven by Playwright."""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    *("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars"),
)


@dataclass
class Seen:
    """What happened while a page was open.

    Attributes:
        requests: addresses that were asked for.
        messages: what the console says: errors of the page, refusals of its policy, warnings.
    """

    requests: list = field(default_factory=list)
    messages: list = field(default_factory=list)


class Browser:
    """One tab of a running Chromium."""

    def __init__(self, chromium):
        self._chromium = chromium
        self._page = None

    def open(self, path, *, width=1000, height=800, dark=False):
        """Open a file in a window of its own, and return what happened meanwhile."""
        self.close()
        self._page = self._chromium.new_page(
            viewport={"width": width, "height": height},
            is_mobile=width < 500,
            color_scheme="dark" if dark else "light",
        )
        seen = Seen()
        self._page.on("request", lambda request: seen.requests.append(request.url))
        self._page.on("console", lambda message: seen.messages.append(message.text))
        self._page.on("pageerror", lambda error: seen.messages.append(str(error)))
        self._page.goto(path.resolve().as_uri())
        return seen

    def close(self):
        """Close the window."""
        if self._page is not None:
            self._page.close()

    def evaluate(self, expression):
        """Return what a JavaScript expression is in the page."""
        return self._page.evaluate(expression)

    def screenshot(self, path):
        """Write the whole page as a PNG."""
        self._page.screenshot(path=path, full_page=True)


@contextmanager
def running():
    """Run the Chromium that is installed, with a new profile; skip where there is none."""
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    if binary is None:
        pytest.skip(f"no Chromium on the PATH (looked for {', '.join(_NAMES)})")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=binary, args=_OPTIONS)
        try:
            browser = Browser(chromium)
            yield browser
            browser.close()
        finally:
            chromium.close()
