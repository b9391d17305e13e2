"""A headless Chromium that is driven through a pipe by the DevTools protocol, and tells all that went wrong."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


class Refusal(Exception):
    """The browser cannot do what it was told, as when a page is left that is asked something."""


class Tab:
    """One page: what it asked of the network, and what its console complained of."""

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._answers = to, answers
        self._held, self._number, self._session = b"", 0, ""
        self.requested: list[str] = []
        self.complaints: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise Refusal(answer["error"]["message"])
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            read = os.read(self._answers, 1 << 16)
            assert read, "the browser has gone"
            self._held += read
        one, _, self._held = self._held.partition(b"\0")
        answer = json.loads(one)
        self._heed(answer.get("method"), answer.get("params", {}))
        return dict(answer)

    def _heed(self, method: str | None, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(params["entry"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))

    def run(self, script: str) -> Any:
        """The value of an expression, waited for if it is a promise."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true, on this page or the one that follows it."""
        end, true = time.monotonic() + SECONDS, False
        while not true:
            with suppress(Refusal):
                true = self.run(f"Boolean({condition})")
            assert time.monotonic() < end, f"never: {condition}; {self.complaints}"
            time.sleep(0.05)

    def open(self, address: str, width: int = 1200, height: int = 900) -> None:
        """Go to a page, and wait until it is loaded."""
        self.send("Emulation.setScrollbarsHidden", hidden=True)
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=address)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def key(self, name: str, code: int) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """Save what it looks like."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    @property
    def elsewhere(self) -> list[str]:
        """Requests to anything but this machine and what the page itself holds."""
        own = ("http://127.0.0.1:", "file://", "data:", "about:", "blob:")
        return [address for address in self.requested if not address.startswith(own)]


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser with a profile of its own, which ends with the block."""
    assert CHROMIUM is not None
    its_in, to = os.pipe()
    answers, its_out = os.pipe()
    command = ("bash", "-c", f'exec "$@" 3<&{its_in} 4>&{its_out}', "-", CHROMIUM, *FLAGS, f"--user-data-dir={profile}")
    quiet = subprocess.DEVNULL
    running = subprocess.Popen(command, pass_fds=(its_in, its_out), stdin=quiet, stdout=quiet, stderr=quiet)
    for end in (its_in, its_out):
        os.close(end)
    try:
        tab = Tab(to, answers)
        yield tab
        tab._session = ""
        tab.send("Browser.close")
        running.wait(SECONDS)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
        for end in (to, answers):
            os.close(end)
