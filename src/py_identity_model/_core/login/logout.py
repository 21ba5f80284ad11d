"""Logout through the browser: started here, started elsewhere, and noticed by a frame.

OpenID Connect RP-Initiated Logout 1.0, Front-Channel Logout 1.0, Session Management 1.0. What the provider sends past
the browser is in :mod:`.backchannel_logout`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..._arguments import explains_arguments
from ..._refusals import because, must_be
from ...exceptions import ConfigurationException, LogoutStateValidationException, ValidationException, printable
from ..base.secret import Redacted, same_text
from ..base.urls import origin, parse_url
from .authorization import check_redirect_uri

#: Characters of a logout request at most, and its parameters.
MAX_REQUEST = 16384
MAX_PARAMETERS = 32

_VISIBLE = re.compile(r"[\x21-\x7e]+\Z")
#: Front-Channel Logout 3: a session ID is *VSCHAR of RFC 6749 A, which has the space.
_SESSION_ID = re.compile(r"[\x20-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class LogoutAnswer:
    """What to answer a logout request with; nobody may keep it (Front-Channel Logout 2, Back-Channel Logout 2.8)."""

    status: int
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "no-cache, no-store"), ("Pragma", "no-cache"))
    body: bytes = b""


# ---------------------------------------------------------------------------------------------------------------------
# RP-initiated: what goes out, and the state that comes back


@dataclass(frozen=True, repr=False)
class EndSessionForm(Redacted):
    """A form that the browser posts to the provider, where a URL would show the ID token or grow too long.

    Attributes:
        action: The address to post to.
        fields: Names and values of the hidden inputs; escape them where they are written into HTML.
    """

    action: str
    fields: tuple[tuple[str, str], ...]

    _redacted = frozenset({"fields"})


@explains_arguments
def build_end_session_url(
    end_session_endpoint: str,
    id_token_hint: str | None = None,
    client_id: str | None = None,
    post_logout_redirect_uri: str | None = None,
    state: str | None = None,
    logout_hint: str | None = None,
    ui_locales: str | None = None,
    **extra_params: str,
) -> str:
    """Build the URL that the browser is sent to, to log the user out at the provider (RP-Initiated Logout 2).

    Args:
        end_session_endpoint: The provider's endpoint; a query of its own is kept.
        id_token_hint: The ID token of the session; it shows in the URL. See :func:`build_end_session_form`.
        client_id: The client; needed where there is no ``id_token_hint`` but a ``post_logout_redirect_uri``.
        post_logout_redirect_uri: Where the user comes back to, exactly as registered.
        state: Comes back too; make a new one for each request, and compare it with
            :func:`validate_post_logout_state`.
        logout_hint: Who is to be logged out, as the provider understands it.
        ui_locales: Preferred languages, separated by spaces.
        extra_params: Further parameters.

    Returns:
        The URL. Parameters that are None or empty are left out.

    Raises:
        ConfigurationException: A parameter cannot be used safely; ``claim`` names it.

    >>> build_end_session_url("https://id.example.com/logout", client_id="app", state="af0ifjsldkj")
    'https://id.example.com/logout?client_id=app&state=af0ifjsldkj'
    """
    form = build_end_session_form(
        end_session_endpoint,
        id_token_hint,
        client_id,
        post_logout_redirect_uri,
        state,
        logout_hint,
        ui_locales,
        **extra_params,
    )
    if not form.fields:
        return end_session_endpoint
    joint = "&" if urlsplit(end_session_endpoint).query else "" if end_session_endpoint.endswith("?") else "?"
    return end_session_endpoint + joint + urlencode(form.fields)


@explains_arguments
def build_end_session_form(
    end_session_endpoint: str,
    id_token_hint: str | None = None,
    client_id: str | None = None,
    post_logout_redirect_uri: str | None = None,
    state: str | None = None,
    logout_hint: str | None = None,
    ui_locales: str | None = None,
    **extra_params: str,
) -> EndSessionForm:
    """Build the form that the browser posts, to log the user out at the provider (RP-Initiated Logout 2).

    The parameters are those of :func:`build_end_session_url`; they show neither in histories nor in logs of addresses.

    Raises:
        ConfigurationException: A parameter cannot be used safely; ``claim`` names it.

    >>> build_end_session_form("https://id.example.com/logout", "eyJhbGciOi", state="af0ifjsldkj").fields[1]
    ('state', 'af0ifjsldkj')
    """
    parts = parse_url(end_session_endpoint, "end_session_endpoint")
    named = {
        "id_token_hint": id_token_hint,
        "client_id": client_id,
        "post_logout_redirect_uri": post_logout_redirect_uri,
        "state": state,
        "logout_hint": logout_hint,
        "ui_locales": ui_locales,
    }
    given = {name: _text(name, value) for name, value in {**named, **extra_params}.items() if value not in (None, "")}
    if post_logout_redirect_uri:
        check_redirect_uri(post_logout_redirect_uri, allow_insecure_http=True)
    taken = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} & set(given)
    if taken:
        raise ConfigurationException(
            f"The end session endpoint's own query already sets {min(taken)}",
            code="parameter_reserved",
            claim=min(taken),
        )
    return EndSessionForm(end_session_endpoint, tuple(given.items()))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or re.search("[\ud800-\udfff]", value):
        raise ConfigurationException(f"{name} must be text", code="parameter_invalid", claim=printable(name, 60))
    return value


@explains_arguments
def validate_post_logout_state(expected_state: str | None, returned_state: str | None) -> None:
    """Refuse a return from the provider that does not belong to the logout of this user agent (RP-Initiated Logout 3).

    Args:
        expected_state: The ``state`` that was sent, as this user agent's session remembers it.
        returned_state: The ``state`` that came back, None if none did.

    Raises:
        LogoutStateValidationException: They differ, or the session remembers none: then any site can have sent the user
            here. The user may be logged out all the same; do nothing on the word of this request but show a page.

    >>> validate_post_logout_state("af0ifjsldkj", "af0ifjsldkj")
    """
    if not expected_state or not returned_state or not same_text(expected_state, returned_state):
        raise LogoutStateValidationException(
            "The state that came back is not the one that was sent",
            claim="state",
            expected="the state of the request" if expected_state else "a state that was sent: none is remembered",
            actual="another" if returned_state else "none",
        )


# ---------------------------------------------------------------------------------------------------------------------
# Front-channel: the provider loads an address of ours in a frame


@dataclass(frozen=True, slots=True)
class FrontChannelLogout:
    """Which session is to end: that of issuer and session ID, or, without both, that of the browser at hand."""

    iss: str | None = None
    sid: str | None = None


@explains_arguments
def parse_front_channel_logout(request: str | Mapping[str, str] | Iterable[tuple[str, str]]) -> FrontChannelLogout:
    """Read a front-channel logout request (Front-Channel Logout 2). Nothing is compared yet.

    Args:
        request: The URL that was called, its query, or its parameters, as pairs where the framework can give them.

    Raises:
        ValidationException: Only one of ``iss`` and ``sid`` came, or one came twice, or it is malformed.

    >>> parse_front_channel_logout("/logout?iss=https%3A%2F%2Fid.example.com&sid=08a5019c").sid
    '08a5019c'
    """
    found: dict[str, str] = {}
    for name, value in _pairs(request):
        if name in ("iss", "sid"):
            form = _SESSION_ID if name == "sid" else _VISIBLE
            if name in found or not isinstance(value, str) or not form.match(value) or len(value) > 2048:
                raise _refused(f"{name} came twice, or is malformed", claim=name)
            found[name] = value
    # Front-Channel Logout 2: if either is included, both MUST be.
    if len(found) == 1:
        raise _refused("iss and sid come together or not at all", claim=next(iter({"iss", "sid"} - set(found))))
    return FrontChannelLogout(found.get("iss"), found.get("sid"))


@explains_arguments
def validate_front_channel_logout(
    request: str | Mapping[str, str] | Iterable[tuple[str, str]],
    issuer: str,
    sid: str | None,
    *,
    accept_logout_without_session: bool = False,
) -> FrontChannelLogout:
    """Read a front-channel logout request and refuse one that is not about this session (Front-Channel Logout 2).

    Args:
        request: The URL that was called, its query, or its parameters.
        issuer: The issuer of the session's ID token.
        sid: Its ``sid``.
        accept_logout_without_session: Whether a request that names no session is accepted. Any page can then log the
            user out.

    Raises:
        ValidationException: It is about another session, or none; the ``code`` is ``front_channel_logout_mismatch`` or
            ``front_channel_logout_invalid``.
        ConfigurationException: *issuer* or *sid* is empty.
    """
    if not issuer or sid == "":
        raise ConfigurationException("issuer and sid must not be empty", code="policy_invalid", claim="issuer")
    asked = parse_front_channel_logout(request)
    if asked.iss is None or asked.sid is None:
        if not accept_logout_without_session:
            raise _refused(
                "The request names no session",
                claim="sid",
                hint="register the client with frontchannel_logout_session_required",
            )
        return asked
    if not same_text(asked.iss, issuer) or sid is None or not same_text(asked.sid, sid):
        raise ValidationException(
            "The request is about another session",
            code="front_channel_logout_mismatch",
            claim="sid" if asked.iss == issuer else "iss",
            expected="issuer and sid of the session",
        )
    return asked


def _pair(pair: Any) -> tuple[str, str]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise must_be("request", "a URL, a mapping, or pairs of a name and a value", code="argument_invalid")
    return pair[0], pair[1]


def _pairs(request: str | Mapping[str, str] | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    if not isinstance(request, str):
        pairs: Any = request.items() if isinstance(request, Mapping) else request
        return [_pair(pair) for pair in pairs]
    query = request.partition("#")[0].partition("?")[2] if "?" in request or "/" in request else request
    try:
        if len(request) > MAX_REQUEST:
            raise ValueError
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:  # too long, too many, or no UTF-8
        raise _refused("The parameters cannot be read") from None


_refused = partial(
    because, ValidationException, "front_channel_logout_invalid", "The front-channel logout request is refused"
)


def build_front_channel_answer() -> LogoutAnswer:
    """Build the answer to a front-channel logout request, after the session was ended: nothing, kept nowhere."""
    return LogoutAnswer(200)


# ---------------------------------------------------------------------------------------------------------------------
# Session management: a frame of the provider's tells whether the session there has changed


class SessionVerdict(StrEnum):
    """What the provider's frame answers (Session Management 3.1)."""

    UNCHANGED = "unchanged"
    #: Authenticate again with ``prompt=none``, and compare ``sub``.
    CHANGED = "changed"
    #: The message was malformed; asking again does not help.
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SessionCheck:
    """What a page needs in order to ask the provider's frame.

    Attributes:
        iframe: The ``check_session_iframe`` to load.
        origin: Its origin: the target of ``postMessage``, and the only sender whose answer counts.
        message: What to post.
    """

    iframe: str
    origin: str
    message: str

    @explains_arguments
    def verdict(self, sender: str, data: object) -> SessionVerdict:
        """Return what the frame said.

        Args:
            sender: ``event.origin`` of the answer.
            data: ``event.data``.

        Raises:
            ValidationException: It comes from another sender, or it is no answer; leave the session as it is.
        """
        # RFC 9700 4.17.2: the exact origin, or any page could end the session.
        if sender != self.origin or not isinstance(data, str) or data not in set(SessionVerdict):
            raise ValidationException(
                "The message is no answer of the provider's frame",
                code="session_check_invalid",
                claim="origin" if sender != self.origin else "data",
                expected=self.origin if sender != self.origin else "changed, unchanged or error",
                actual=printable(sender) if sender != self.origin else type(data).__name__,
            )
        return SessionVerdict(data)


@explains_arguments
def build_session_check(check_session_iframe: str, client_id: str, session_state: str) -> SessionCheck:
    """Build what a page needs in order to ask the provider's frame (Session Management 3.1).

    Args:
        check_session_iframe: From the provider's metadata.
        client_id: The client.
        session_state: From the authorization response.

    Raises:
        ConfigurationException: One of them is unusable.

    >>> build_session_check("https://id.example.com/frame", "app", "4ea84.bc").message
    'app 4ea84.bc'
    """
    parse_url(check_session_iframe, "check_session_iframe")
    for name, value in (("client_id", client_id), ("session_state", session_state)):
        # Session Management 2: session_state MUST NOT contain a space, which separates it.
        if not isinstance(value, str) or not _VISIBLE.match(value):
            raise ConfigurationException(
                f"{name} must be visible ASCII without spaces", code="parameter_invalid", claim=name
            )
    return SessionCheck(check_session_iframe, origin(check_session_iframe), f"{client_id} {session_state}")


@explains_arguments
def compute_session_state(client_id: str, client_origin: str, browser_state: str, salt: str | None = None) -> str:
    """Compute ``session_state`` as a provider does (Session Management 3.2), for tests and for providers.

    Args:
        client_id: The client.
        client_origin: The origin of its redirect address.
        browser_state: What the provider's cookie holds.
        salt: Random text; a new one if None.

    >>> compute_session_state("app", "https://app.example.com", "state", "salt").endswith(".salt")
    True
    """
    salt = secrets.token_urlsafe(16) if salt is None else salt
    digest = hashlib.sha256(f"{client_id} {client_origin} {browser_state} {salt}".encode()).hexdigest()
    return f"{digest}.{salt}"


__all__ = [
    "EndSessionForm",
    "FrontChannelLogout",
    "LogoutAnswer",
    "SessionCheck",
    "SessionVerdict",
    "build_end_session_form",
    "build_end_session_url",
    "build_front_channel_answer",
    "build_session_check",
    "compute_session_state",
    "parse_front_channel_logout",
    "validate_front_channel_logout",
    "validate_post_logout_state",
]
