"""A real headless browser for tests of what radiologists see: Debian's Chromium, driven by Playwright.

Playwright's sync interface runs an event loop in the thread that uses it, so that a test which opens a page
can start no other one there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
START_SECONDS = 60
ARGUMENTS = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card, which OHIF needs
)


@contextmanager
def opened(profiles: Path, *, width: int = 1500, height: int = 950) -> Iterator[object]:
    """A page of a fresh browser; skips the test where browser or driver are not installed.

    Chromium's graphics process sometimes hangs when it starts, so that a browser that has no first page in
    time is ended and a second one started.

    Args:
        profiles: folder for the browsers' profiles.
        width, height: of the window, in pixels.
    """
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: sudo apt-get install chromium")
    driver = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    with driver.sync_playwright() as playwright:
        for attempt in (1, 2):
            profile = profiles / f"profile_{attempt}"
            try:
                context = playwright.chromium.launch_persistent_context(
                    str(profile),
                    executable_path=CHROMIUM,
                    headless=True,
                    args=list(ARGUMENTS),
                    viewport={"width": width, "height": height},
                    timeout=1000 * START_SECONDS,
                )
                page = context.pages[0] if context.pages else context.new_page()
                page.goto("about:blank", timeout=1000 * START_SECONDS)
                page.screenshot(timeout=1000 * START_SECONDS)  # the graphics process answers
                break
            except driver.TimeoutError:
                _end_browsers(profile)
                if attempt == 2:
                    raise
        try:
            yield page
        finally:
            with suppress(driver.Error):
                context.close()
            _end_browsers(profile)


def _end_browsers(profile: Path) -> None:
    """Ends what is left of a browser: the processes that name its profile, which is this test's alone."""
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.NoSuchProcess):
            if any(str(profile) in word for word in process.info["cmdline"] or ()):
                process.kill()
