"""Debian's Chromium, driven through its own chromedriver (W3C WebDriver) by plain HTTP."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

from parts import Missing
from parts import free_ports
from parts import run_tool

INSTALL_SECONDS = 300
START_SECONDS = 30
ANSWER_SECONDS = 30


def installed(say):
    """Paths of Chromium and chromedriver; installed by apt where one is missing and one may."""
    found = [shutil.which("chromium"), shutil.which("chromedriver")]
    if not all(found):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Missing("Chromium: install the packages `chromium` and `chromium-driver`")
        say("installing Chromium (once) …")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        otherwise = "Chromium: apt does not give it; install `chromium` and `chromium-driver`"
        run_tool(otherwise, ["apt-get", "update", "-q"], INSTALL_SECONDS, "/", environment)
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium", "chromium-driver"]
        run_tool(otherwise, install, INSTALL_SECONDS, "/", environment)
        found = [shutil.which("chromium"), shutil.which("chromedriver")]
    return found


class Browser:
    """`with Browser(chromium, driver, folder) as browser:` one window without a screen."""

    def __init__(self, chromium, driver, folder):
        (port,) = free_ports(1)
        self.base = f"http://127.0.0.1:{port}"
        self.log = open(folder / "chromedriver.log", "wb")
        environment = {**os.environ, "HOME": str(folder)}
        self.process = subprocess.Popen(
            [driver, f"--port={port}"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=environment, start_new_session=True,
        )
        arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        options = {"binary": chromium, "args": arguments}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            self.wait_for_driver()
            session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self.base += f"/session/{session['sessionId']}"
            watch = "addEventListener('securitypolicyviolation', (event) => console.error('CSP: ' + event.violatedDirective))"
            self.cdp("Page.addScriptToEvaluateOnNewDocument", source=watch)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if "/session/" in self.base:
            # Chromium itself ends with its session, not with its driver.
            with contextlib.suppress(OSError, AssertionError):
                self.call("DELETE", "")
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        self.log.close()

    def wait_for_driver(self):
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.call("GET", "/status")
            except OSError as error:
                if give_up < time.monotonic() or self.process.poll() is not None:
                    raise Missing("Chromium: chromedriver does not start") from error
                time.sleep(0.05)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from None

    def cdp(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look_as(self, width, scheme):
        """A window of this width, for somebody who prefers this colour scheme."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address):
        self.call("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, key):
        self.cdp("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=9)
        self.cdp("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=9)

    def complaints(self):
        """What the console has been told since it was last asked: errors, and breaches of the policy."""
        entries = self.call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, file):
        """All of the page, however long."""
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(shot["data"]))
