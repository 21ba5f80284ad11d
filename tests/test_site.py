"""The built site: it asks nothing of others, links lead somewhere, search finds things, and nothing is cut off."""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

import snippets
from py_identity_model.exceptions import DOCUMENTATION

ROOT = snippets.ROOT
#: Every page is looked at where this says ``all``; else one of each kind.
LOOK = os.environ.get("LOOK", "")
KINDS = (".", "tutorial", "how-it-is-fast", "reference/errors", "reference/api/grants", "migration/pyjwt")

pytestmark = [pytest.mark.needs("documentation tools"), pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    target = tmp_path_factory.mktemp("site")
    # Not with --quiet: it hides the warnings from --strict too, and then nothing fails.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    told = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_the_documentation_builds_without_warnings(built: Path) -> None:
    """mkdocs, in strict mode, finds nothing to warn of; see also the gate in ``test_quality.py``."""
    assert (built / "index.html").exists()


class Read(HTMLParser):
    """What a page loads, where it leads, and what in it can be led to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of addresses and anchors."""
        told = {name: value or "" for name, value in attrs}
        self.anchors |= {told[name] for name in ("id", "name") if told.get(name)}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        elif tag == "link" and told.get("rel") not in ("canonical", "prev", "next", "edit"):
            self.loads.append(told.get("href", ""))
        elif tag not in ("a", "link"):
            self.loads += [told[name] for name in ("src", "data", "poster") if name in told]
            self.loads += [part.split()[0] for part in told.get("srcset", "").split(",") if part.strip()]


@functools.cache
def read(path: Path) -> Read:
    """Read a page."""
    page = Read()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def pages(built: Path) -> Iterator[Path]:
    """Yield every page of the site."""
    return (path for path in sorted(built.rglob("*.html")) if path.name != "404.html")


def is_elsewhere(address: str) -> bool:
    """Whether an address is that of another machine."""
    return bool(urlsplit(address).netloc) and not address.startswith(DOCUMENTATION)


def test_the_site_loads_nothing_from_others(built: Path) -> None:
    """Pages, style sheets and scripts name no address of others that a browser would load."""
    loaded = {address for path in pages(built) for address in read(path).loads if is_elsewhere(address)}
    assert loaded == set()
    for style in built.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", style.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"url\(\s*['\"]?(?:https?:)?//[^)]*\)|@import\s+['\"]?https?:[^;]*", text) == [], style.name
    for script in built.rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:unpkg\.com|cdn\.jsdelivr\.net|fonts\.g[a-z]+\.com)[^\"'`)]*", text)) <= KNOWN, (
            script.name
        )


#: Addresses in the theme's script that are loaded only for what no page here has (Mermaid), or in very old browsers.
KNOWN = {"unpkg.com/mermaid@11/dist/mermaid.min.js", "unpkg.com/resize-observer-polyfill"}


def test_links_lead_somewhere(built: Path) -> None:
    """Each link within the site leads to a page that is there, and to an anchor that is there."""
    dead = []
    for path in pages(built):
        here = f"{DOCUMENTATION}{path.relative_to(built)}".removesuffix("index.html")
        for link in read(path).links:
            address, _, anchor = urljoin(here, link).partition("#")
            if not address.startswith(DOCUMENTATION):
                continue
            target = built / unquote(address.removeprefix(DOCUMENTATION))
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (
                anchor and target.suffix == ".html" and unquote(anchor) not in read(target).anchors
            ):
                dead.append(f"{path.relative_to(built)}: {link}")
    assert dead == []


def test_every_error_code_has_an_anchor(built: Path) -> None:
    """What an error says in ``help`` leads to the row of its code."""
    codes = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(codes) > 300
    assert set(codes) - read(built / "reference" / "errors" / "index.html").anchors == set()


#: What people look for.
WORDS = (
    "401;403;JWKS;kid not found;Keycloak;Entra;Auth0;Okta;Cognito;Google;Apple;FastAPI;Flask;Django;"
    "Litestar;Starlette;aiohttp;gRPC;MCP;PyJWT;Authlib;MSAL;introspection;revocation;UserInfo;DPoP;mTLS;"
    "PKCE;TokenValidator;token_expired;clock skew;audience_mismatch;client credentials;refresh token;"
    "logout;Redis;Prometheus;Kubernetes;GitHub Actions;"
)


@pytest.mark.parametrize("words", [words for words in WORDS.split(";") if words])
def test_search_finds(built: Path, words: str) -> None:
    """Some section of some page has all the words that somebody would look for."""
    sections = json.loads((built / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    wanted = [re.compile(rf"(?<![a-z]){re.escape(word)}", re.IGNORECASE) for word in words.split()]
    assert [s["location"] for s in sections if all(word.search(f"{s['title']} {s['text']}") for word in wanted)]


def test_programs_can_read_the_site(built: Path) -> None:
    """``llms.txt`` leads to a Markdown copy of each page, with the reference written out; ``llms-full.txt`` has all."""
    index = (built / "llms.txt").read_text(encoding="utf-8")
    assert index.startswith("# py-identity-model\n\n> ")
    copies = re.findall(r"\]\((\S+)\)", index)
    assert len(copies) == len(set(copies)) == len(list((ROOT / "docs").rglob("*.md")))
    whole = (built / "llms-full.txt").read_text(encoding="utf-8")
    for copy in copies:
        text = (built / copy.removeprefix(DOCUMENTATION)).read_text(encoding="utf-8")
        assert text.startswith("# ")
        assert "<!-- names" not in text
        assert text in whole
    assert "## TokenValidator" in whole


@pytest.mark.needs("Chromium")
@pytest.mark.needs("Playwright")
def test_nothing_is_cut_off(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code and tables fit a desktop, every page fits a phone, and the browser asks nobody else for anything."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    look = importlib.import_module("look")
    assert look.look(built, only=None if LOOK == "all" else KINDS) == []


@pytest.mark.needs("Chromium")
@pytest.mark.needs("Playwright")
def test_a_page_that_is_cut_off_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of code that does not fit, a page that is too wide and a picture of others are told."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    look = importlib.import_module("look")
    line = "x" * 400
    (tmp_path / "index.html").write_text(
        f"<pre style='overflow:auto'><code>{line}</code></pre><div style='width:900px'>wide</div>"
        "<img src='https://pictures.example/1.png'>",
        encoding="utf-8",
    )
    found = look.look(tmp_path)
    assert [each.split(":")[0] for each in found] == [". at 1280", ". at 375", "request to https"]
