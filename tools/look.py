"""Look at every page of the built site in a browser: what is cut off, what leaves the machine, and a picture of each.

``make look`` builds the site and looks at it at the width of a desktop and of a phone. Wanted: Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import sys
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
#: Widths in CSS pixels: a desktop, a phone.
DESKTOP, PHONE = 1280, 375
WIDTHS = (DESKTOP, PHONE)

#: What is wider than the box it is shown in: code and tables at the desktop's width, the page itself everywhere.
MEASURE = """(desktop) => {
  const cut = [];
  const told = (element) => (element.innerText || element.alt || element.tagName).trim().split("\\n")[0].slice(0, 60);
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) cut.push(`the page: ${page.scrollWidth} > ${page.clientWidth}`);
  const boxes = desktop ? "pre, pre > code, .md-typeset__scrollwrap" : "";
  for (const element of boxes ? document.querySelectorAll(boxes) : [])
    if (element.clientWidth && element.scrollWidth > element.clientWidth + 1)
      cut.push(`${element.tagName.toLowerCase()}: ${element.scrollWidth} > ${element.clientWidth}: ${told(element)}`);
  return cut;
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file; a browser that has moved on does not want it any more."""
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


@contextlib.contextmanager
def serving(site: Path) -> Iterator[str]:
    """Serve a folder on loopback; yield its address."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()


def pages_of(site: Path) -> list[str]:
    """Return the path of every page below the site's folder."""
    return sorted(str(found.parent.relative_to(site)) for found in site.rglob("index.html"))


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser of this machine, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def at(browser: Browser, width: int, scheme: str, strangers: list[str], home: str) -> Iterator[Page]:
    """Open a window of a width and colour scheme; note every request to elsewhere, and let none through."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]

    def judge(route: Any) -> None:
        if route.request.url.startswith((home, "data:", "blob:")):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    context.route("**/*", judge)
    try:
        yield context.new_page()
    finally:
        context.close()


def look(
    site: Path,
    pictures: Path | None = None,
    only: Collection[str] | None = None,
    schemes: tuple[str, ...] = ("light",),
) -> list[str]:
    """Return what is wrong with the pages: what is cut off at which width, and requests to elsewhere.

    Args:
        site: The built site.
        pictures: Where a picture of each page goes; None takes none.
        only: The pages to look at; None looks at all of them.
        schemes: Colour schemes that pictures are taken in.
    """
    found: list[str] = []
    strangers: list[str] = []
    with serving(site) as home, chromium() as browser:
        for width in WIDTHS:
            for scheme in schemes:
                with at(browser, width, scheme, strangers, home) as page:
                    for name in (name for name in pages_of(site) if only is None or name in only):
                        page.goto(home + ("" if name == "." else name + "/"), wait_until="load")
                        found += [f"{name} at {width}: {cut}" for cut in page.evaluate(MEASURE, width == DESKTOP)]
                        if pictures:
                            pictures.mkdir(parents=True, exist_ok=True)
                            target = pictures / f"{name.replace('/', '-').strip('.') or 'index'}-{width}-{scheme}.png"
                            page.screenshot(path=target, full_page=True)
    return [*dict.fromkeys(found), *(f"request to {url}" for url in dict.fromkeys(strangers))]


def main(arguments: list[str] | None = None) -> int:
    """Look, tell, and answer 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=ROOT / "site")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each page")
    parser.add_argument("--only", default="", help="pages whose path contains this")
    parser.add_argument("--dark", action="store_true", help="in dark as well")
    asked = parser.parse_args(arguments)
    chosen = [name for name in pages_of(asked.site) if asked.only in name]
    found = look(asked.site, asked.pictures, chosen, ("light", "dark") if asked.dark else ("light",))
    print("\n".join(found) or "nothing is cut off, nothing is asked of others")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
