"""A headless Chromium that tests look at pages with, through its DevTools protocol on a pair of pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--remote-debugging-pipe", "about:blank"),
)
_SECONDS = 60


@dataclass
class Seen:
    """What happened while a page was open.

    Attributes:
        requests: addresses that were asked for.
        messages: what the console says: errors of the page, refusals of its policy, warnings.
    """

    requests: list = field(default_factory=list)
    messages: list = field(default_factory=list)

    def take(self, method, params):
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.messages.append(json.dumps(params))


class Browser:
    """One tab of a running Chromium."""

    def __init__(self, to_chromium, from_chromium):
        self._out, self._in = to_chromium, from_chromium
        self._rest, self._number = b"", 0
        self._session = None
        self.seen = Seen()
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def open(self, path, *, width=1000, height=800, dark=False):
        """Open a file, and return what happened meanwhile."""
        self.seen = Seen()
        phone = width < 500
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Page.navigate", url=path.resolve().as_uri())
        self._wait("Page.loadEventFired")
        return self.seen

    def evaluate(self, expression):
        """Return what a JavaScript expression is in the page."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path):
        """Write the whole page as a PNG."""
        found = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _ask(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _wait(self, event):
        while self._read().get("method") != event:
            pass

    def _read(self):
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], _SECONDS)[0], f"Chromium has said nothing for {_SECONDS} seconds"
            piece = os.read(self._in, 1 << 16)
            assert piece, "Chromium has gone"
            self._rest += piece
        message, self._rest = self._rest.split(b"\0", 1)
        found = json.loads(message)
        if "method" in found:
            self.seen.take(found["method"], found["params"])
        return found


@contextmanager
def running(folder):
    """Run a Chromium that keeps its files in a folder; skip where there is none."""
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    if binary is None or sys.platform == "win32":
        pytest.skip(f"no Chromium on the PATH (looked for {', '.join(_NAMES)})")
    theirs, out = os.pipe()
    mine, back = os.pipe()
    shell = f'exec "$@" 3<&{theirs} 4>&{back}'  # it reads from 3 and writes to 4
    command = ["bash", "-c", shell, "bash", binary, f"--user-data-dir={folder}", *_OPTIONS]
    process = subprocess.Popen(
        command, pass_fds=(theirs, back), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    os.close(back)
    try:
        yield Browser(out, mine)
    finally:
        os.close(out)  # Chromium ends where nobody speaks to it any more
        os.close(mine)
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
