"""The page that shows what happened: each request and its answer in words, and every token taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..._core.base.base64url import b64url_decode
from ..._core.base.flow import Reply
from .._endpoints import basic_of
from . import html
from .exchanges import Exchange
from .issuer import ServedIssuer

#: Steps on one page, and characters that are shown of one body.
MOST_STEPS, MOST_TEXT = 60, 8_000

#: What each step is called, and what happens in it.
STEPS: Mapping[str, tuple[str, str]] = {
    "discovery": ("Metadata", "The application reads where everything is."),
    "oauth_metadata": ("Metadata", "The application reads where everything is."),
    "jwks": ("Keys", "The application, or an API, fetches the keys that signatures are checked with."),
    "authorize": ("Authorization request", "The application sends the browser here, so that its user logs in."),
    "par": ("Pushed authorization request", "The application leaves its request here before it sends the browser."),
    "token": ("Token request", "The application exchanges what it has for tokens."),
    "userinfo": ("UserInfo request", "The application asks who the user is."),
    "introspect": ("Introspection", "An API asks whether a token is good."),
    "revoke": ("Revocation", "The application gives a token up."),
    "device_authorization": ("Device authorization", "A device without a browser begins a login."),
    "end_session": ("Logout", "The application sends the browser here, so that its user logs out."),
    "login": ("Login page", "The user decides on the page of the provider; the browser goes back to the application."),
    "nowhere": ("Unknown path", "Nothing of this provider is there."),
}
_TIMES = ("exp", "iat", "nbf", "auth_time", "updated_at")


def flow_page(
    issuer: ServedIssuer,
    exchanges: Sequence[Exchange],
    *,
    links: Sequence[tuple[str, str]],
    clear_path: str,
    refresh: int | None = None,
) -> Reply:
    """Return the page for these exchanges, the oldest first."""
    shown = exchanges[-MOST_STEPS:]
    left_out = f"<p>The last {MOST_STEPS} of {len(exchanges)} steps.</p>" if len(shown) < len(exchanges) else ""
    steps = "".join(
        _step(number, each, issuer.now()) for number, each in enumerate(shown, len(exchanges) - len(shown) + 1)
    )
    again = '<a href="?refresh=5">Refresh every five seconds</a>' if refresh is None else '<a href="?">Stand still</a>'
    body = (
        f"<p>What came to <code>{escape(issuer.issuer)}</code> and what was answered, the oldest first. "
        f"Secrets and tokens are shown: this is a test provider.</p><p>{again}</p>{left_out}"
        f"{steps or '<p>Nothing came yet.</p>'}"
        + html.form(clear_path, html.button("Forget all steps", "do", "forget", "plain"))
    )
    return html.document("The flow, step by step", body, links=links, refresh=refresh)


def _step(number: int, exchange: Exchange, now: float) -> str:
    title, meaning = STEPS.get(exchange.endpoint, (exchange.endpoint, ""))
    at = datetime.fromtimestamp(exchange.at, UTC).strftime("%H:%M:%S")
    faults = f'<p class="bad">Fault played: {escape(", ".join(exchange.faults))}</p>' if exchange.faults else ""
    return (
        f'<section id="step-{exchange.number}"><h2>{number}. {escape(title)}</h2><p>{escape(meaning)} '
        f"<small>{at} UTC</small></p>{faults}"
        f'<div class="two"><div>{_sent(exchange)}</div><div>{_came_back(exchange)}</div></div>'
        f"{_tokens(exchange, now)}</section>"
    )


def _sent(exchange: Exchange) -> str:
    target = urlsplit(exchange.request.url).path
    basic = basic_of(exchange.request)
    headers = {name: value for name, value in exchange.request.headers if name in ("authorization", "dpop", "origin")}
    if basic is not None:
        headers["authorization"] = f"Basic: {basic[0]}, secret {basic[1]}"
    form, text = exchange.form, exchange.request.body.decode("utf-8", "replace")
    form.pop("request", None)  # the login page carries on what the step before showed
    other = f"<pre>{escape(text[:MOST_TEXT])}</pre>" if text and not exchange.form else ""
    return (
        f"<h3>Sent</h3><p><code>{escape(exchange.request.method)} {escape(target)}</code></p>"
        f"{html.pairs(_short(exchange.query))}{html.pairs(_short(form))}{html.pairs(_short(headers))}{other}"
    )


def _came_back(exchange: Exchange) -> str:
    if exchange.broken:
        return "<h3>Came back</h3><p>The connection broke.</p>"
    reply = exchange.reply
    location = reply.header("location")
    phrase = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else ""
    led = ""
    if location is not None:
        target, _, query = location.partition("?")
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        led = f"<p>To <code>{escape(target[:MOST_TEXT])}</code> with</p>{html.pairs(_short(parameters))}"
    return f"<h3>Came back</h3><p><code>{reply.status} {escape(phrase)}</code></p>{led}{_body(reply)}"


def _body(reply: Reply) -> str:
    text = reply.body.decode("utf-8", "replace")
    if not text:
        return ""
    if reply.media_type == "text/html":
        return "<p>A page.</p>"
    members = _json(text)
    if members is not None:
        shown = _short(members) if isinstance(members, dict) else members
        text = json.dumps(shown, indent=2, ensure_ascii=False)
    more = "\n…" if len(text) > MOST_TEXT else ""
    return f"<pre>{escape(text[:MOST_TEXT])}{more}</pre>"


def _short(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members with tokens cut short: they are shown decoded, and whole, below."""
    return {name: _shortened(value) for name, value in members.items()}


def _shortened(value: Any) -> Any:
    scheme, blank, token = value.rpartition(" ") if isinstance(value, str) else ("", "", "")
    return value if taken_apart(token) is None else f"{scheme}{blank}{token[:16]}… (decoded below)"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Tokens


def _tokens(exchange: Exchange, now: float) -> str:
    found = ((name, token, taken_apart(token)) for name, token in _texts(exchange))
    return "".join(_token(name, token, *taken, now) for name, token, taken in found if taken is not None)


def _token(name: str, token: str, header: Mapping[str, Any], claims: Mapping[str, Any], now: float) -> str:
    shown = f"<pre>{escape(_pretty(claims))}</pre>{html.pairs(_times(claims, now))}"
    whole = f"<details><summary>As it was sent</summary><pre>{escape(token[:MOST_TEXT])}</pre></details>"
    return (
        f"<details{' open' if name == 'id_token' else ''}><summary>{escape(name)}, decoded</summary>"
        f'<div class="two"><div><h3>Header</h3><pre>{escape(_pretty(header))}</pre></div>'
        f"<div><h3>Claims</h3>{shown}</div></div>{whole}</details>"
    )


def _texts(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Yield whatever may be a token: parameters, credentials, members of the answer."""
    answered = None if exchange.broken else _json(exchange.reply.body.decode("utf-8", "replace"))
    scheme, _, credential = exchange.header("authorization").partition(" ")
    found = {**exchange.query, **exchange.form, f"{scheme} token": credential, "DPoP proof": exchange.header("dpop")}
    found |= answered if isinstance(answered, dict) else {}
    yield from ((name, value) for name, value in found.items() if isinstance(value, str))


def taken_apart(value: object) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Return header and claims of a signed token, unverified; None for what is none.

    >>> taken_apart("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.")
    ({'alg': 'none'}, {'sub': 'ada'})
    """
    if not isinstance(value, str) or value.count(".") != 2:
        return None
    try:
        header, claims = (json.loads(b64url_decode(part)) for part in value.split(".")[:2])
    except (ValueError, RecursionError):
        return None
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)[:MOST_TEXT]


def _times(claims: Mapping[str, Any], now: float) -> dict[str, str]:
    return {name: _time(claims[name], now) for name in _TIMES if isinstance(claims.get(name), int | float)}


def _time(seconds: float, now: float) -> str:
    try:
        shown = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "no date"
    away = round(seconds - now)
    return f"{shown}, {f'in {away} s' if away >= 0 else f'{-away} s ago'}"


__all__ = ["MOST_STEPS", "STEPS", "flow_page", "taken_apart"]
