"""What people see of a login: whom to be, what to allow, a device's code, and the end of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ..._core.base.flow import Reply
from ..._core.base.header_lists import words
from ...exceptions import ConfigurationException
from .._grants import Login, Parameters
from . import html
from .bodies import read_json
from .issuer import ServedIssuer

#: Claims that are the protocol's own: rules of the file and the control API change them, no login does.
PROTOCOL = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "azp", "auth_time", "at_hash", "c_hash", "s_hash"}
    | {"client_id", "scope", "cnf", "sid"}
)
LONGEST_SUBJECT = 255  # OpenID Connect Core 2


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed on the login page, and what is wrong with it, by field."""

    subject: str = ""
    claims: str = ""
    acr: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


def read_typed(form: Mapping[str, str]) -> tuple[Typed, Login | None]:
    """Read the login page's form; there is no login where something is wrong."""
    subject, acr = form.get("user") or form.get("subject", "").strip(), form.get("acr", "").strip()
    errors: dict[str, str] = {}
    if not subject:
        errors["subject"] = "Type a subject: the sub of the user."
    elif len(subject) > LONGEST_SUBJECT or not subject.isprintable():
        errors["subject"] = f"A subject has at most {LONGEST_SUBJECT} characters, all of them printable."
    claims, wrong = read_claims(form.get("claims", ""))
    if wrong:
        errors["claims"] = wrong
    typed = Typed(subject, form.get("claims", ""), acr, errors)
    return typed, None if errors else Login(subject, claims, acr=acr or None)


def read_claims(text: str) -> tuple[dict[str, Any], str | None]:
    """Read claims as they were typed: the claims, and what is wrong with them.

    >>> read_claims('{"aud": "x"}')[1]
    'aud is set by the provider. Rules of a file and the control API can change it.'
    """
    if not text.strip():
        return {}, None
    try:
        claims = read_json(text, "This")
    except ConfigurationException as error:
        return {}, f"This is not usable JSON: {error.hint or error.message.partition(': ')[2]}."
    if not isinstance(claims, dict):
        return {}, 'Claims are a JSON object, as in {"roles": ["admin"]}.'
    taken = sorted(PROTOCOL & claims.keys())
    if taken:
        return {}, f"{taken[0]} is set by the provider. Rules of a file and the control API can change it."
    return claims, None


def given_in(form: Mapping[str, str]) -> Parameters:
    """Return the authorization request that a form of ours carries on."""
    return dict(parse_qsl(form.get("request", ""), keep_blank_values=True))


def login_page(issuer: ServedIssuer, path: str, given: Parameters, typed: Typed | None = None) -> Reply:
    """Return the page that asks who logs in.

    Args:
        issuer: Where.
        path: What its form posts to.
        given: The authorization request.
        typed: What was typed before, if that was wrong.
    """
    carried = html.hidden("request", urlencode(given))
    typed = typed or Typed(given.get("login_hint", ""), acr=(words(given.get("acr_values", "")) or ("",))[0])
    wrong = '<p class="bad" role="alert">Something is wrong with what you typed.</p>' if typed.errors else ""
    body = (
        f"<p><b>{escape(given.get('client_id', ''))}</b> wants to know who you are. This is a test provider: "
        f"be whom you like, there are no passwords.</p>{wrong}"
        f"{_known(issuer, path, carried)}{_somebody(path, carried, given, typed)}{_request_details(given)}"
    )
    status = 422 if typed.errors else 200
    return html.document("Log in", body, status=status, narrow=True, leads_to=[given.get("redirect_uri", "")])


def _known(issuer: ServedIssuer, path: str, carried: str) -> str:
    users = list(issuer.users().items())[:50]
    named = "".join(html.button(_name(sub, claims), "user", sub, "who") for sub, claims in users)
    return html.form(path, f"{carried}<fieldset><legend>A known user</legend>{named}</fieldset>") if named else ""


def _name(subject: str, claims: Mapping[str, Any]) -> str:
    name = claims.get("name")
    return f"{name} ({subject})" if isinstance(name, str) else subject


def _somebody(path: str, carried: str, given: Parameters, typed: Typed) -> str:
    errors = typed.errors
    fields = (
        html.field("subject", "Subject", typed.subject, error=errors.get("subject"), more=' autocomplete="username"')
        + html.area("claims", "Claims", typed.claims, error=errors.get("claims"), hint='JSON: {"roles": ["admin"]}')
        + _acr(given, typed.acr)
    )
    inner = f"{fields}{html.button('Log in')}{html.button('Refuse', 'deny', 'yes', 'plain')}"
    return html.form(path, f"{carried}<fieldset><legend>Somebody else</legend>{inner}</fieldset>")


def _acr(given: Parameters, chosen: str) -> str:
    asked = words(given.get("acr_values", ""))
    if asked:
        offered = {value: value for value in asked} | {"": "none of them"}
        return html.choice("acr", "Authentication context (acr)", offered, chosen)
    return f"<details><summary>More</summary>{html.field('acr', 'Authentication context (acr)', chosen)}</details>"


def _request_details(given: Parameters) -> str:
    return f"<details><summary>The request</summary>{html.pairs(given)}</details>"


def consent_page(path: str, given: Parameters, login: Login) -> Reply:
    """Return the page that asks somebody who is logged in what to allow."""
    asked = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in words(given.get("scope", "openid")))
    body = (
        f"<p>You are <b>{escape(login.subject)}</b>. "
        f"<b>{escape(given.get('client_id', ''))}</b> asks for:</p><ul>{asked}</ul>"
        + html.form(
            path,
            html.hidden("request", urlencode(given))
            + html.button("Allow", "allow", "yes")
            + html.button("Refuse", "deny", "yes", "plain"),
        )
        + _request_details(given)
    )
    return html.document("Allow access", body, narrow=True, leads_to=[given.get("redirect_uri", "")])


def refused_page(given: Parameters, description: str) -> Reply:
    """Return the page for an authorization request that must not be answered at its redirect address."""
    body = (
        f'<p class="bad">{escape(description)}</p>'
        "<p>A client that is registered uses its registered redirect addresses. Any other client may use addresses "
        "on this machine, private addresses, names without a dot, and names that end in .localhost, .test, .internal "
        "or .local.</p>"
        "<p>To use another address, register the client: in the file of <code>--claims</code>, or by "
        "<code>PUT /_control/clients/{client_id}</code>.</p>"
        f"<h2>What came</h2>{html.pairs(given)}"
    )
    return html.document("This login cannot begin", body, status=400, narrow=True)


def logout_page(path: str, given: Parameters, subject: str) -> Reply:
    """Return the page that asks before a logout that no application proved to be its own."""
    fields = html.hidden("request", urlencode(given)) + html.button("Log out")
    body = f"<p>You are logged in as <b>{escape(subject)}</b>. Do you want to log out?</p>{html.form(path, fields)}"
    return html.document("Log out", body, narrow=True, leads_to=[given.get("post_logout_redirect_uri", "")])


def logged_out_page() -> Reply:
    """Return the page at the end of a session."""
    return html.document("Logged out", "<p>You are logged out of this provider.</p>", narrow=True)


def device_page(path: str, code: str, subject: str, error: str | None = None, done: str | None = None) -> Reply:
    """Return the page on which the user of a device types its code."""
    if done is not None:
        return html.document("Your device", f"<p>{escape(done)}</p>", narrow=True)
    fields = (
        html.field("user_code", "Code on the device", code, error=error, more=' autocomplete="off"')
        + html.field("subject", "Subject", subject, hint="Who you want to be.")
        + html.button("Approve", "decision", "approve")
        + html.button("Refuse", "decision", "deny", "plain")
    )
    return html.document("Your device", html.form(path, fields), status=422 if error else 200, narrow=True)


__all__ = [
    "PROTOCOL",
    "Typed",
    "consent_page",
    "device_page",
    "given_in",
    "logged_out_page",
    "login_page",
    "logout_page",
    "read_claims",
    "read_typed",
    "refused_page",
]
