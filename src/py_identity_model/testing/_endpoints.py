"""The embedded provider's OAuth endpoints: an authorization server that approves everything lawful, by tables.

Token (RFC 6749 3.2), authorization with PKCE (RFC 7636, RFC 9207), pushed requests (RFC 9126), introspection
(RFC 7662), revocation (RFC 7009), UserInfo and logout (OpenID Connect), device authorization (RFC 8628).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from .._core.base.base64url import b64url_encode
from .._core.base.flow import Reply, Request
from .._core.base.header_lists import words
from .._core.client.device import DEVICE_CODE
from ..exceptions import ConfigurationException
from ._grants import (
    ApproveAll,
    Bounded,
    Client,
    Decisions,
    Device,
    Grant,
    Login,
    Parameters,
    Refusal,
    Signer,
    json_reply,
    redirect,
)

CODE_LIFETIME = 60.0
REQUEST_LIFETIME = 60.0
DEVICE_LIFETIME = 600.0
DEVICE_INTERVAL = 5

#: Codes, tokens and pushed requests of each kind that are remembered; the oldest are forgotten first.
REMEMBERED = 20_000


class Endpoints:
    """The state behind the endpoints. Any thread may use it."""

    def __init__(self, provider: Signer, remembered: int = REMEMBERED) -> None:
        self._provider = provider
        self._lock = threading.RLock()
        self.clients: dict[str, Client] = Bounded(remembered)
        self.decisions: Decisions = ApproveAll(provider, self.clients)
        self.devices: dict[str, Device] = Bounded(remembered)
        #: ``authorization_pending`` answers before a device's user approves of his own accord.
        self.device_polls = 1
        self._codes: dict[str, Grant] = Bounded(remembered)
        self._refresh: dict[str, Grant] = Bounded(remembered)
        self._spent: dict[str, Grant] = Bounded(remembered)
        #: When refresh tokens were first used.
        self._used_at: dict[str, float] = Bounded(remembered)
        self._pushed: dict[str, tuple[float, Parameters]] = Bounded(remembered)
        self._access: dict[str, Grant] = Bounded(remembered)
        #: Access tokens and families of tokens that were revoked.
        self._revoked: dict[str, None] = Bounded(remembered)

    def answer(self, endpoint: str, request: Request) -> Reply:
        """Answer one request to the endpoint of that name."""
        methods, serve = ENDPOINTS[endpoint]
        if request.method not in methods:
            return Reply(405, (("allow", ", ".join(methods)),))
        try:
            with self._lock:
                return serve(self, request, parameters_of(request))
        except Refusal as refusal:
            return refusal.reply

    def decide_device(self, user_code: str, state: str, subject: str | None = None) -> None:
        """Let the user of a device decide, ``approved`` or ``denied``.

        Raises:
            ConfigurationException: No device waits with this code.
        """
        with self._lock:
            device = next((d for d in self.devices.values() if d.user_code == user_code), None)
            if device is None:
                told = "No device waits with this user_code"
                raise ConfigurationException(told, code="user_code_unknown", claim="user_code")
            device.state = state
            device.grant = replace(device.grant, subject=subject or device.grant.subject)

    # ---- the client

    def _client(self, request: Request, given: Parameters) -> Client:
        """Authenticate the client by HTTP Basic or in the body (RFC 6749 2.3.1)."""
        basic = basic_of(request)
        if basic and "client_secret" in given:
            raise Refusal("invalid_request", "two client authentication methods in one request")
        client_id, secret = basic or (given.get("client_id", ""), given.get("client_secret"))
        client = self.decisions.client(client_id)
        if client is None or not client.authenticates(secret):
            raise Refusal("invalid_client", "client authentication failed", 401, 'Basic realm="embedded"')
        return client

    # ---- authorization

    def check_authorization(self, given: Parameters) -> Client:
        """Return the client that asks, if its redirect address is its own.

        Raises:
            Refusal: It is not known, or the address is not.
        """
        client = self.decisions.client(given.get("client_id", ""))
        if client is None or not client.redirects_to(given.get("redirect_uri")):
            # RFC 6749 4.1.2.1: never redirect to an address that was not checked.
            raise Refusal("invalid_request", "unknown client_id or redirect_uri")
        return client

    def _authorize(self, request: Request, given: Parameters) -> Reply:
        if "request_uri" in given:
            given = self._pull(given)
        client = self.check_authorization(given)
        return self._decided(client, given, lambda: self.decisions.login(request, client, given))

    def authorize_as(self, given: Parameters, decide: Callable[[], Login | Reply]) -> Reply:
        """Answer an authorization request whose user has decided; *decide* may raise :class:`Refusal`."""
        try:
            with self._lock:
                return self._decided(self.check_authorization(given), given, decide)
        except Refusal as refusal:
            return refusal.reply

    def _decided(self, client: Client, given: Parameters, decide: Callable[[], Login | Reply]) -> Reply:
        back, state, issuer = given["redirect_uri"], given.get("state"), self._provider.issuer
        try:
            _check_request(client, given)
            login = decide()
            if isinstance(login, Reply):
                return login
            code = self._issue_code(client, given, login)
        except Refusal as refusal:
            return redirect(back, error=refusal.error, error_description=refusal.description, state=state, iss=issuer)
        return self.decisions.established(login, redirect(back, code=code, state=state, iss=issuer))

    def _issue_code(self, client: Client, given: Parameters, login: Login) -> str:
        code, now = secrets.token_urlsafe(24), self._provider.now()
        self._codes[code] = Grant(
            client.client_id,
            login.subject,
            given.get("scope", "openid"),
            now + CODE_LIFETIME,
            redirect_uri=given["redirect_uri"],
            code_challenge=given.get("code_challenge"),
            nonce=given.get("nonce"),
            resource=given.get("resource"),
            auth_time=int(now) if login.auth_time is None else login.auth_time,
            login=login,
            asked=given,
        )
        return code

    def _push(self, request: Request, given: Parameters) -> Reply:
        client = self._client(request, given)
        if "request_uri" in given:  # RFC 9126 2.1
            raise Refusal("invalid_request", "request_uri must not be pushed")
        given = {**given, "client_id": client.client_id}
        self.check_authorization(given)
        uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(24)}"
        self._pushed[uri] = (self._provider.now() + REQUEST_LIFETIME, given)
        return json_reply({"request_uri": uri, "expires_in": int(REQUEST_LIFETIME)}, 201)

    def _pull(self, given: Parameters) -> Parameters:
        expires, pushed = self._pushed.pop(given["request_uri"], (0.0, {}))
        if expires <= self._provider.now() or pushed.get("client_id") != given.get("client_id"):
            raise Refusal("invalid_request_uri", "the request_uri is unknown, used or expired")
        return pushed

    # ---- tokens

    def _token(self, request: Request, given: Parameters) -> Reply:
        client = self._client(request, given)
        grant_type = given.get("grant_type", "")
        if grant_type not in GRANT_TYPES:
            raise Refusal("unsupported_grant_type", "this grant_type is not supported")
        return json_reply(GRANT_TYPES[grant_type](self, client, given))

    def _client_credentials(self, client: Client, given: Parameters) -> dict[str, Any]:
        if not client.is_confidential:  # RFC 6749 4.4: confidential clients only
            raise Refusal("unauthorized_client", "a public client has no credentials of its own")
        scope, resource = given.get("scope", ""), given.get("resource")
        grant = Grant(client.client_id, client.client_id, scope, 0.0, resource=resource, asked=given)
        return self._tokens(grant, given, refresh=False)

    def _authorization_code(self, client: Client, given: Parameters) -> dict[str, Any]:
        code = given.get("code", "")
        grant = self._codes.pop(code, None)
        if grant is None:
            self._used_again(code)
            raise Refusal("invalid_grant", "the code is unknown or used")
        self._spent[code] = grant
        self._own(client, grant)
        if given.get("redirect_uri") != grant.redirect_uri:
            raise Refusal("invalid_grant", "redirect_uri is not the one of the authorization request")
        verifier = given.get("code_verifier", "")
        if not verifier and grant.code_challenge is None:
            return self._tokens(grant, given)
        if b64url_encode(hashlib.sha256(verifier.encode()).digest()) != grant.code_challenge:
            raise Refusal("invalid_grant", "code_verifier does not fit code_challenge")
        return self._tokens(grant, given)

    def _refresh_token(self, client: Client, given: Parameters) -> dict[str, Any]:
        token = given.get("refresh_token", "")
        grant = self._refresh.pop(token, None) or self._just_used(token)
        if grant is None:
            self._used_again(token)
            raise Refusal("invalid_grant", "the refresh_token is unknown or used")
        self._spent[token] = grant
        self._used_at.setdefault(token, self._provider.now())
        self._own(client, grant)
        scope = given.get("scope", grant.scope)
        if not set(words(scope)) <= set(words(grant.scope)):  # RFC 6749 6
            raise Refusal("invalid_scope", "more scope than was granted")
        resource = given.get("resource", grant.resource)  # RFC 8707 2.2
        return self._tokens(replace(grant, scope=scope, nonce=None, resource=resource), given, original=grant)

    def _device_code(self, client: Client, given: Parameters) -> dict[str, Any]:
        device = self.devices.get(given.get("device_code", ""))
        if device is None:
            raise Refusal("invalid_grant", "the device_code is unknown or used")
        now = self._provider.now()
        if device.grant.expires <= now:
            raise Refusal("expired_token", "the device_code has expired")
        if client.client_id != device.grant.client_id:
            raise Refusal("invalid_grant", "the device_code was given to another client")
        self._poll(device, now)
        del self.devices[given["device_code"]]
        return self._tokens(device.grant, given)

    def _poll(self, device: Device, now: float) -> None:
        early, device.next_poll = now < device.next_poll, now + DEVICE_INTERVAL
        if device.state == "denied":
            raise Refusal("access_denied", "the user said no")
        if device.state == "approved":
            return
        if early:
            device.next_poll += DEVICE_INTERVAL  # RFC 8628 3.5: five seconds more, from now on
            raise Refusal("slow_down", "polling too fast")
        if device.polls_left > 0:
            device.polls_left -= 1
            raise Refusal("authorization_pending", "the user has not decided yet")

    def _own(self, client: Client, grant: Grant) -> None:
        if grant.client_id != client.client_id:
            raise Refusal("invalid_grant", "this was given to another client")
        if grant.family in self._revoked or (grant.expires and grant.expires <= self._provider.now()):
            raise Refusal("invalid_grant", "this was revoked or has expired")

    def _just_used(self, token: str) -> Grant | None:
        """Return the grant of a refresh token whose first use is so recent that its answer may have got lost."""
        until = self._used_at.get(token, 0.0) + self._provider.refresh_token_overlap
        return self._spent.get(token) if self._provider.now() < until else None

    def _used_again(self, credential: str) -> None:
        # RFC 6749 4.1.2, RFC 9700 4.14.2: the second sender may be a thief, so both lose.
        if credential in self._spent:
            self._revoked[self._spent[credential].family] = None

    def _tokens(
        self, grant: Grant, given: Parameters, *, refresh: bool = True, original: Grant | None = None
    ) -> dict[str, Any]:
        auth_time = int(self._provider.now()) if grant.auth_time is None else grant.auth_time
        lifetime = self.decisions.lifetime(grant, given)
        access = self._access_token(grant, given, lifetime)
        answer: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "scope": grant.scope}
        if lifetime is not None:
            answer["expires_in"] = lifetime
        if refresh:
            answer["refresh_token"] = token = secrets.token_urlsafe(24)
            self._refresh[token] = replace(original or grant, expires=0.0, auth_time=auth_time)
        if "openid" in words(grant.scope):
            answer["id_token"] = self._id_token(grant, given, auth_time, access)
        return answer

    def _access_token(self, grant: Grant, given: Parameters, lifetime: float | None) -> str:
        access = self._provider.mint_claims(
            "access_token",
            {"scope": grant.scope or None, **self.decisions.claims("access_token", grant, given)},
            expires_in=300 if lifetime is None else lifetime,
            subject=grant.subject,
            client_id=grant.client_id,
            audience=grant.resource or self._provider.audience,
        )
        self._access[access] = grant
        return access

    def _id_token(self, grant: Grant, given: Parameters, auth_time: int, access: str) -> str:
        facts = {"nonce": grant.nonce, "auth_time": auth_time}
        return self._provider.mint_claims(
            "id_token",
            {**facts, **self.decisions.claims("id_token", grant, given)},
            subject=grant.subject,
            client_id=grant.client_id,
            audience=grant.client_id,
            hashed={"access_token": access},
        )

    def _device_authorization(self, request: Request, given: Parameters) -> Reply:
        client = self._client(request, given)
        now, device_code = self._provider.now(), secrets.token_urlsafe(24)
        user_code = "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(8))  # RFC 8628 6.1
        scope = given.get("scope", "openid")
        grant = Grant(client.client_id, self._provider.subject, scope, now + DEVICE_LIFETIME, asked=given)
        self.devices[device_code] = Device(grant, user_code, self.device_polls, now)
        page = self.decisions.device_page()
        return json_reply(
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?{urlencode({'user_code': user_code})}",
                "expires_in": int(DEVICE_LIFETIME),
                "interval": DEVICE_INTERVAL,
            }
        )

    # ---- about tokens

    def _alive(self, token: str) -> dict[str, Any] | None:
        """Return the claims of an access token, if it is ours, unexpired and not revoked."""
        grant = self._access.get(token)
        if grant is None or token in self._revoked or grant.family in self._revoked:
            return None
        claims = self._provider.claims_of(token)
        return claims if claims["exp"] > self._provider.now() else None

    def _introspect(self, request: Request, given: Parameters) -> Reply:
        self._client(request, given)
        token = given.get("token", "")
        claims = self._alive(token)
        if claims is not None:
            return json_reply({"active": True, "token_type": "Bearer", **claims})
        grant = self._refresh.get(token)
        if grant is None or grant.family in self._revoked:
            return json_reply({"active": False})  # RFC 7662 2.2: and not a word more
        return json_reply({"active": True, "client_id": grant.client_id, "sub": grant.subject, "scope": grant.scope})

    def _revoke(self, request: Request, given: Parameters) -> Reply:
        client = self._client(request, given)
        token = given.get("token", "")
        grant = self._refresh.get(token) or self._access.get(token)
        if grant is not None and grant.client_id == client.client_id:
            # RFC 7009 2.1: a refresh token takes the access tokens of its grant along.
            self._revoked[grant.family if token in self._refresh else token] = None
        return Reply(200, (("cache-control", "no-store"),))  # RFC 7009 2.2: also for tokens nobody knows

    def _userinfo(self, request: Request, given: Parameters) -> Reply:
        scheme, _, token = _header(request, "authorization").partition(" ")
        token = token or given.get("access_token", "")
        claims = self._alive(token)
        if (scheme and scheme.lower() != "bearer") or claims is None:
            raise Refusal("invalid_token", "the access token is not valid", 401, 'Bearer error="invalid_token"')
        subject = claims["sub"]
        more = self.decisions.claims("userinfo", self._access[token], given)
        return json_reply({**self._provider.accounts.get(subject, {}), **more, "sub": subject})

    def _end_session(self, request: Request, given: Parameters) -> Reply:
        back = given.get("post_logout_redirect_uri")
        if back is not None and not self.may_return(back, given):
            raise Refusal("invalid_request", "unknown post_logout_redirect_uri")
        page = self.decisions.logout(request, given)
        if page is not None:
            return page
        if back is None:
            return Reply(200, (("content-type", "text/plain"),), b"You are signed out.")
        return redirect(back, state=given.get("state"))

    def may_return(self, back: str, given: Parameters) -> bool:
        """Tell whether a logout may lead to *back*: an address of the client that asks, or of a registered one."""
        named = self.decisions.client(given.get("client_id") or self._hinted(given) or "unnamed")
        return any(client.returns_to(back) for client in (*self.clients.values(), *([named] if named else [])))

    def _hinted(self, given: Parameters) -> str | None:
        """Return the client that an ``id_token_hint`` was made for."""
        try:
            audience = self._provider.claims_of(given.get("id_token_hint", "")).get("aud")
        except (ValueError, IndexError, AttributeError):
            return None
        return audience if isinstance(audience, str) else None


def _check_request(client: Client, given: Parameters) -> None:
    if given.get("response_type") != "code":
        raise Refusal("unsupported_response_type", "only response_type=code is supported")
    if not client.require_pkce and "code_challenge" not in given:
        return
    # RFC 9700 2.1.1: PKCE from everybody, and S256 only.
    if not given.get("code_challenge") or given.get("code_challenge_method", "plain") != "S256":
        raise Refusal("invalid_request", "a code_challenge with code_challenge_method=S256 is required")


def _header(request: Request, name: str) -> str:
    return next((value for key, value in request.headers if key.lower() == name), "")


def parameters_of(request: Request) -> Parameters:
    """Read query and form; RFC 6749 3.1: no parameter twice."""
    pairs = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    if _header(request, "content-type").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        pairs += parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    given = {name: value for name, value in pairs if value}
    # RFC 8707 2, RFC 8693 2.1: these may stand several times.
    repeated = [name for name, _ in pairs if name not in ("resource", "audience")]
    if len(repeated) != len(set(repeated)):
        raise Refusal("invalid_request", "a parameter stands twice")
    return given


def basic_of(request: Request) -> tuple[str, str | None] | None:
    """Return the client and its secret as HTTP Basic names them; None for another scheme."""
    scheme, _, encoded = _header(request, "authorization").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no base64, no ASCII or no UTF-8
        return "", None
    return unquote_plus(name), unquote_plus(secret)  # RFC 6749 2.3.1: form-encoded first


Serve = Callable[[Endpoints, Request, Parameters], Reply]

#: Methods and function of every endpoint. They are private to this module, and this table is their public face.
ENDPOINTS: Mapping[str, tuple[tuple[str, ...], Serve]] = {
    "authorize": (("GET", "POST"), Endpoints._authorize),
    "par": (("POST",), Endpoints._push),
    "token": (("POST",), Endpoints._token),
    "device_authorization": (("POST",), Endpoints._device_authorization),
    "introspect": (("POST",), Endpoints._introspect),
    "revoke": (("POST",), Endpoints._revoke),
    "userinfo": (("GET", "POST"), Endpoints._userinfo),
    "end_session": (("GET", "POST"), Endpoints._end_session),
}

GRANT_TYPES: Mapping[str, Callable[[Endpoints, Client, Parameters], dict[str, Any]]] = {
    "client_credentials": Endpoints._client_credentials,
    "authorization_code": Endpoints._authorization_code,
    "refresh_token": Endpoints._refresh_token,
    DEVICE_CODE: Endpoints._device_code,
}

__all__ = ["ENDPOINTS", "GRANT_TYPES", "Endpoints", "basic_of", "parameters_of"]
