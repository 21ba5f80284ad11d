"""The single-page application of ``examples/bff``, as its page uses it, before the API of ``examples/fastapi``."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from doors import AUDIENCE, EXAMPLES, free_port
from py_identity_model.testing import Client, EmbeddedProvider
from test_login_doors import SECRET, Visitor
from test_web_proxy import serving

PAGE = EXAMPLES / "bff" / "static"
#: What the page sends with each request to its own origin.
CALL = {"x_csrf": "1", "accept": "*/*"}


def program(name: str) -> Any:
    """Load a program of ``examples/``, which reads its settings from the environment."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


class Bff:
    """The example, its API and its provider, each on a port of its own."""

    def __init__(self, base: str, provider: EmbeddedProvider) -> None:
        self.base, self.provider = base, provider

    def visitor(self, *, logged_in: bool = False) -> Visitor:
        """Return a new browser."""
        made = Visitor(self.base)
        if logged_in:
            assert made.follow("/login?next=/").status == 200
        return made


@pytest.fixture(scope="module")
def bff(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bff]:
    """The programs, running."""
    provider, port = EmbeddedProvider(), free_port()
    base = f"http://127.0.0.1:{port}"
    provider.add_client(Client("app", SECRET, (f"{base}/callback",), (f"{base}/logged-out",)))
    with pytest.MonkeyPatch.context() as told, provider.serve():
        told.setenv("OIDC_ISSUER", provider.issuer)
        told.setenv("OIDC_AUDIENCE", AUDIENCE)
        told.setenv("OIDC_CLIENT_ID", "app")
        told.setenv("OIDC_CLIENT_SECRET", SECRET)
        told.setenv("BASE_URL", base)
        told.setenv("API_RESOURCE", AUDIENCE)
        told.setenv("SESSIONS", str(tmp_path_factory.mktemp("bff") / "sessions.db"))
        with serving(program("fastapi")) as api:
            told.setenv("API_URL", api)
            with serving(program("bff"), port):
                yield Bff(base, provider)


def test_the_page_logs_in_calls_the_api_and_logs_out(bff: Bff) -> None:
    """As a user goes through it: nobody, the login, the API's answer, the logout, and nobody again."""
    visitor = bff.visitor()
    nobody = visitor.send("GET", "/me", **CALL, referer=f"{bff.base}/index.html")
    assert (nobody.status, nobody.header("www-authenticate")) == (401, "Session")
    assert nobody.json()["login_url"] == "/login?next=%2Findex.html"
    assert "<h1>Orders</h1>" in visitor.follow(nobody.json()["login_url"]).text
    assert visitor.send("GET", "/me", **CALL).json()["subject"] == "alice"
    orders = visitor.send("GET", "/api/orders", **CALL)
    assert (orders.status, orders.json()) == (200, {"subject": "alice"})
    assert visitor.send("POST", "/api/orders", "{}", **CALL).json() == {"subject": "alice"}
    out = visitor.send("POST", "/logout", **CALL).json()["logout_url"]
    assert out.startswith(bff.provider.issuer)
    assert visitor.follow(out).status == 200
    assert visitor.send("GET", "/me", **CALL).status == 401
    assert visitor.send("GET", "/api/orders", **CALL).json()["login_url"] == "/login"


def test_the_api_is_called_by_the_page_only(bff: Bff) -> None:
    """Without the header, or from another site, nothing comes through; the page's files are for everybody."""
    visitor = bff.visitor(logged_in=True)
    assert visitor.send("GET", "/api/orders", accept="*/*").status == 403
    assert visitor.send("GET", "/api/orders", **CALL, sec_fetch_site="cross-site").status == 403
    assert visitor.send("POST", "/logout", accept="*/*").status == 403
    assert [bff.visitor().send("GET", path).status for path in ("/", "/app.js", "/app.css", "/../app.py")] == [
        *(200, 200, 200, 404)
    ]


def test_an_api_that_wants_a_stronger_login_leads_to_one(bff: Bff) -> None:
    """The page gets 401 with the address of a login that asks the provider for it, and comes back."""
    told = bff.visitor(logged_in=True).send("POST", "/api/payments", **CALL, referer=f"{bff.base}/index.html")
    assert (told.status, told.header("www-authenticate")) == (401, "Session")
    assert told.json()["login_url"] == "/login?next=%2Findex.html&acr=phr&max_age=300"


class _Parts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_short_and_keeps_to_its_policy(bff: Bff) -> None:
    """Sixty lines in all, nothing inline, nothing from elsewhere, and a policy that would not have it."""
    html, script = (PAGE / "index.html").read_text(), (PAGE / "app.js").read_text()
    assert len(html.splitlines()) + len(script.splitlines()) <= 60
    served = bff.visitor().send("GET", "/")
    assert "default-src 'self'" in served.header("content-security-policy")
    assert "unsafe" not in served.header("content-security-policy")
    assert served.text == html
    parts = _Parts()
    parts.feed(html)
    assert [a for tag, a in parts.tags if any(name.startswith("on") or name == "style" for name in a)] == []
    assert [a for tag, a in parts.tags if tag == "script" and not a.get("src")] == []
    assert re.findall(r"https?://|innerHTML|eval|Authorization|localStorage|token=", html + script) == []
    labelled = {a["for"] for tag, a in parts.tags if tag == "label"}
    assert {a["id"] for tag, a in parts.tags if tag == "input"} == labelled
    assert [a.get("lang") for tag, a in parts.tags if tag == "html"] == ["en"]
