"""A client of the site's own, so that a login can be tried and looked at before there is an application."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from ..._core.base.base64url import b64url_encode
from ..._core.base.flow import Reply, Request
from .._grants import Bounded
from . import html
from .issuer import ServedIssuer

#: The client's name and where codes come back to, below the issuer; trials that wait at most.
CLIENT, CALLBACK, MOST_TRIALS = "try-it", "try/callback", 100
_FORM = (("content-type", "application/x-www-form-urlencoded"),)


def trial_page(path: str, links: Sequence[tuple[str, str]], leads_to: Sequence[str]) -> Reply:
    """Return the page on which an authorization request is put together."""
    prompts = {"": "as usual", "login": "login", "consent": "consent", "none": "none: no page may be shown"}
    fields = (
        html.field("scope", "Scope", "openid profile email")
        + html.choice("prompt", "Prompt", prompts)
        + html.field("login_hint", "Login hint")
        + html.field("acr_values", "Authentication contexts (acr_values)")
        + html.field("max_age", "Seconds since the last login (max_age)", more=' inputmode="numeric"')
        + html.button("Log in")
    )
    body = (
        "<p>A client of this page logs in with the authorization code flow and PKCE, asks for UserInfo, and shows each "
        f"step.</p>{html.form(path, fields)}"
    )
    return html.document("Try a login", body, links=links, leads_to=leads_to, narrow=True)


class Trials:
    """Trials that were begun: their code verifiers by ``state``. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verifiers: Bounded[str] = Bounded(MOST_TRIALS)

    def begin(self, issuer: ServedIssuer, form: Mapping[str, str]) -> Reply:
        """Send the browser to the authorization endpoint."""
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        with self._lock:
            self._verifiers[state] = verifier
        wanted = ("scope", "prompt", "login_hint", "acr_values", "max_age")
        parameters = {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": issuer.page_url(CALLBACK),
            "state": state,
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": b64url_encode(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        parameters |= {name: form[name] for name in wanted if form.get(name)}
        target = f"{issuer.page_url('authorize')}?{urlencode(parameters)}"
        return Reply(303, (("location", target), ("cache-control", "no-store")))

    def end(self, issuer: ServedIssuer, back: Mapping[str, str], flow: str) -> Reply:
        """Exchange the code, ask for UserInfo, and send the browser to the flow."""
        with self._lock:
            verifier = self._verifiers.pop(back.get("state", ""), None)
        if verifier is None or "code" not in back:
            told = escape(back.get("error_description") or back.get("error") or "no login was begun here")
            body = f'<p class="bad">The login failed: {told}.</p><p><a href="{escape(flow)}">The flow</a></p>'
            return html.document("No login", body, status=400, narrow=True)
        form = {
            "grant_type": "authorization_code",
            "code": back["code"],
            "redirect_uri": issuer.page_url(CALLBACK),
            "client_id": CLIENT,
            "code_verifier": verifier,
        }
        answer = issuer.answer(Request("POST", issuer.url("token"), _FORM, urlencode(form).encode()))
        token = issuer.access_token_in(answer)
        if token is not None:
            asking = urlencode({"access_token": token, "client_id": CLIENT}).encode()
            issuer.answer(Request("POST", issuer.url("userinfo"), _FORM, asking))
        return Reply(303, (("location", f"{flow}#step-{issuer.exchanges.last}"), ("cache-control", "no-store")))


__all__ = ["CALLBACK", "CLIENT", "MOST_TRIALS", "Trials", "trial_page"]
