"""The provider's part in the conformance suite: a provider that does everything right, or one thing wrong.

It is a transport: ``op(request) -> Reply``. What it may do wrong is in :class:`Wrong`: functions that change what the
provider is about to sign or send. Whatever the client asks is checked as the suite checks it, and remembered.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from py_identity_model._core.base.base64url import b64url_decode, b64url_encode
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.jwe import encrypt_compact
from py_identity_model._core.jose.jwe_keys import EncryptionKey
from py_identity_model._core.jose.jws import half_hash, jwk_thumbprint, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey

ISSUER = "https://op.example.com"
CLIENT_ID = "rp"
CLIENT_SECRET = "a secret that is long enough for HS256 as well"
REDIRECT_URI = "https://rp.example.com/callback"
NOW = 1_800_000_000

Claims = dict[str, Any]
Change = Callable[[Any], Any]


def unchanged(value: Any) -> Any:
    """Do nothing wrong."""
    return value


def changed(**changes: Any) -> Change:
    """Return the change that sets members; None takes one away."""

    def change(members: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in {**members, **changes}.items() if value is not None}

    return change


@dataclass
class Wrong:
    """What the provider does wrong; by default nothing. Each takes what is right and returns what is done."""

    metadata: Change = unchanged
    jwks: Change = unchanged
    #: Claims of ID tokens from the token endpoint, and from the front channel.
    id_token: Change = unchanged
    front_id_token: Change = unchanged
    #: Any ID token, as it is signed: text to text.
    signed_id_token: Change = unchanged
    callback: Change = unchanged
    jarm: Change = unchanged
    signed_jarm: Change = unchanged
    tokens: Change = unchanged
    userinfo: Change = unchanged
    pushed: Change = unchanged


@dataclass
class Code:
    """What a code stands for."""

    parameters: dict[str, str]
    jkt: str | None = None


@dataclass
class Op:
    """The provider.

    Attributes:
        alg: The algorithm of its ID tokens.
        wrong: What it does wrong.
        now: Its clock.
        dpop: Whether tokens must be bound by DPoP; with ``nonces``, proofs need a nonce of the server.
    """

    alg: str = "RS256"
    wrong: Wrong = field(default_factory=Wrong)
    now: float = NOW
    dpop: bool = False
    nonces: bool = False
    auth_method: str = "client_secret_basic"
    #: To whom ID tokens are encrypted, if they are.
    encrypt_to: EncryptionKey | None = None
    more: dict[str, Any] = field(default_factory=dict)
    kid: str | None = "op-1"

    def __post_init__(self) -> None:
        self.key = signing_key(self.alg, self.kid)
        self.keys = [self.key]
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self.codes: dict[str, Code] = {}
        self.pushed: dict[str, dict[str, str]] = {}
        self.refresh_tokens: dict[str, dict[str, str]] = {}
        self.proofs: set[str] = set()
        self.nonce = "nonce-1"
        self.answers: dict[str, Callable[[Request], Reply]] = {}
        #: What a device or a CIBA request waits for: answers of the token endpoint before the tokens.
        self.pending: list[str] = []
        self.approvals: dict[str, dict[str, str]] = {}
        #: What clients publish, by address, and what the provider is sent back with after a logout.
        self.published: dict[str, str] = {}
        self.ended: list[dict[str, str]] = []

    # ---- as a transport

    def __call__(self, request: Request) -> Reply:
        """Answer as the provider."""
        path = urlsplit(request.url).path
        self.asked.append(path.removeprefix("/"))
        self.requests.append(request)
        if path in self.answers:
            return self.answers[path](request)
        match path:
            case "/.well-known/openid-configuration":
                return json_reply(self.wrong.metadata(self.metadata()), request)
            case "/jwks" | "/jwks-of-this-run":
                return json_reply(self.wrong.jwks(self.jwks()), request)
            case "/par":
                return self._par(request)
            case "/token":
                return self._token(request)
            case "/device" | "/bc-authorize":
                return self._approval(request)
            case "/userinfo" | "/resource":
                return self._userinfo(request)
        return Reply(404, (), b"", request.url)

    def count(self, endpoint: str) -> int:
        """Return how often an endpoint was asked."""
        return self.asked.count(endpoint)

    # ---- documents

    def metadata(self) -> Claims:
        """Return the provider's metadata."""
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/jwks",
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "pushed_authorization_request_endpoint": f"{ISSUER}/par",
            "end_session_endpoint": f"{ISSUER}/logout",
            "device_authorization_endpoint": f"{ISSUER}/device",
            "backchannel_authentication_endpoint": f"{ISSUER}/bc-authorize",
            "backchannel_authentication_request_signing_alg_values_supported": ["PS256", "ES256"],
            "registration_endpoint": f"{ISSUER}/register",
            "response_types_supported": [
                *("code", "id_token", "id_token token", "code id_token", "code token", "code id_token token")
            ],
            "response_modes_supported": ["query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "authorization_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
            "token_endpoint_auth_methods_supported": [self.auth_method],
            "code_challenge_methods_supported": ["S256"],
            "dpop_signing_alg_values_supported": ["ES256", "PS256"],
            **self.more,
        }

    def jwks(self) -> Claims:
        """Return the key set."""
        keys = [{"use": "sig", **(key.public_jwk or {}), "kid": key.kid} for key in self.keys]
        return {"keys": [{name: value for name, value in key.items() if value is not None} for key in keys]}

    def rotate(self, kid: str) -> None:
        """Sign with a new key, and publish no other."""
        self.key = signing_key(self.alg, kid)
        self.keys = [self.key]

    # ---- the front channel

    def authorize(self, url: str) -> str:
        """Let the user consent; return where the browser is sent, or the form that it is made to post."""
        given = unique(urlsplit(url).query)
        if "request_uri" in given and given["request_uri"] in self.pushed:
            assert set(given) == {"client_id", "request_uri"}, given  # FAPI: nothing else leaves the client here
            given = self.pushed.pop(given["request_uri"])
        elif "request_uri" in given:
            given = self._by_reference(given)
        assert given["client_id"] == CLIENT_ID
        assert given["redirect_uri"] == REDIRECT_URI
        kinds = set(given["response_type"].split())
        if "code" in kinds:
            assert given["code_challenge_method"] == "S256"
            assert len(given["code_challenge"]) == 43
        if "id_token" in kinds:
            assert given["nonce"]
        return self._respond(given, self.wrong.callback(self._response(given, kinds)))

    def _by_reference(self, given: dict[str, str]) -> dict[str, str]:
        """Fetch what the client published: OpenID Connect Core 6.2 wants scope and response_type outside as well."""
        signed = self.published[given["request_uri"]]
        assert given.keys() == {"client_id", "response_type", "scope", "request_uri"}, given
        assert json.loads(b64url_decode(signed.split(".")[0]))["alg"] != "none"
        inside = claims_of(signed)
        assert {name: inside[name] for name in ("client_id", "response_type", "scope")}.items() <= given.items()
        assert (inside["iss"], inside["aud"]) == (CLIENT_ID, ISSUER)
        return {name: value for name, value in inside.items() if isinstance(value, str)}

    def end_session(self, url: str) -> str:
        """End the session, if the hint is an ID token of ours that is not encrypted; return where the browser goes."""
        assert url.startswith(f"{ISSUER}/logout?")
        given = unique(urlsplit(url).query)
        hint = given["id_token_hint"]
        assert hint.count(".") == 2, "OpenID Connect Core 3.1.2.1: the signed ID token, decrypted"
        claims = claims_of(hint)
        assert (claims["iss"], claims["aud"]) == (ISSUER, CLIENT_ID)
        self.ended.append(given)
        return f"{given['post_logout_redirect_uri']}?{urlencode({'state': given['state']})}"

    def refuse(self, url: str, error: str, **more: str) -> str:
        """Send the user back with an error."""
        given = unique(urlsplit(url).query)
        return self._respond(given, {"error": error, "state": given["state"], **more})

    def _response(self, given: dict[str, str], kinds: set[str]) -> dict[str, str]:
        response: dict[str, str] = {"state": given["state"]}
        bound: dict[str, str] = {"s_hash": given["state"]} if "s_hash" in self.more else {}
        if "code" in kinds:
            response["code"] = bound["c_hash"] = secrets.token_urlsafe(16)
            self.codes[response["code"]] = Code(given, given.get("dpop_jkt"))
        if "token" in kinds:
            response |= {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": "300"}
            bound["at_hash"] = response["access_token"]
        if "id_token" in kinds:
            response["id_token"] = self.id_token(given, self.wrong.front_id_token, **bound)
        if self.metadata().get("authorization_response_iss_parameter_supported"):
            response["iss"] = ISSUER
        return response

    def _respond(self, given: dict[str, str], response: dict[str, str]) -> str:
        front = set(given["response_type"].split()) != {"code"}
        mode = given.get("response_mode", "fragment" if front else "query")
        if mode.endswith("jwt"):
            claims = {"iss": ISSUER, "aud": CLIENT_ID, "exp": int(self.now) + 300, **response}
            signed = sign_compact(self.wrong.jarm(claims), self.key)
            response, mode = {"response": self.wrong.signed_jarm(signed)}, mode.removesuffix("jwt").strip(".")
        text = urlencode(response)
        if mode == "form_post":
            return text
        return f"{given['redirect_uri']}{'#' if mode == 'fragment' or (not mode and front) else '?'}{text}"

    # ---- tokens

    def id_token(self, given: dict[str, str], wrong: Change, /, **bound: str) -> str:
        """Return an ID token; the values of *bound* are hashed into it."""
        claims: Claims = {
            "iss": ISSUER,
            "sub": "user-1",
            "aud": CLIENT_ID,
            "iat": int(self.now),
            "exp": int(self.now) + 300,
            **({"nonce": given["nonce"]} if "nonce" in given else {}),
            **{name: half_hash(self.key.alg, value, crv_of(self.key)) for name, value in bound.items()},
        }
        signed = str(self.wrong.signed_id_token(sign_compact(wrong(claims), self.key)))
        if self.encrypt_to is None:
            return signed
        return encrypt_compact(signed, self.encrypt_to, alg="ECDH-ES", enc="A256GCM", cty="JWT")

    def _token(self, request: Request) -> Reply:
        refused = self._check_proof(request, None)
        if refused is not None:
            return refused
        form = unique(request.body.decode())
        self._check_client(request, form)
        match form["grant_type"]:
            case "authorization_code":
                code = self.codes.pop(form["code"])
                given = code.parameters
                assert form["redirect_uri"] == given["redirect_uri"]
                digest = hashlib.sha256(form["code_verifier"].encode()).digest()
                assert b64url_encode(digest) == given["code_challenge"]
            case "refresh_token":
                given = {k: v for k, v in self.refresh_tokens.pop(form["refresh_token"]).items() if k != "nonce"}
            case "urn:ietf:params:oauth:grant-type:device_code":
                name = form["device_code"]
            case "urn:openid:params:grant-type:ciba":
                name = form["auth_req_id"]
            case _:
                return json_reply({"error": "unsupported_grant_type"}, request, 400)
        if "grant-type:" in form["grant_type"]:
            if self.pending:
                return json_reply({"error": self.pending.pop(0)}, request, 400)
            given = self.approvals.pop(name)
        return json_reply(self.wrong.tokens(self.tokens(given)), request)

    def _approval(self, request: Request) -> Reply:
        """Have the user asked on another device; the code is what the client polls with."""
        form = unique(request.body.decode())
        self._check_client(request, form)
        ciba = request.url.endswith("/bc-authorize")
        if "request" in form:
            assert not {"scope", "login_hint", "binding_message"} & form.keys()  # CIBA Core 7.1.1
            signed = claims_of(form["request"])
            assert (signed["iss"], signed["aud"]) == (CLIENT_ID, ISSUER)
            form = {name: value for name, value in signed.items() if isinstance(value, str)}
        assert "openid" in form["scope"].split() or not ciba
        name = secrets.token_urlsafe(16)
        self.approvals[name] = {"scope": form["scope"]}
        if ciba:
            return json_reply({"auth_req_id": name, "expires_in": 120, "interval": 5}, request)
        where = {"user_code": "WDJB-MJHT", "verification_uri": f"{ISSUER}/device-page"}
        return json_reply({"device_code": name, "expires_in": 120, "interval": 5, **where}, request)

    def tokens(self, given: dict[str, str]) -> Claims:
        """Return the answer of the token endpoint."""
        access, refresh = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self.refresh_tokens[refresh] = given
        answer = {"access_token": access, "token_type": "DPoP" if self.dpop else "Bearer", "expires_in": 300}
        answer |= {"refresh_token": refresh, "scope": given.get("scope", "")}
        if "openid" in given.get("scope", "openid").split():
            answer["id_token"] = self.id_token(given, self.wrong.id_token, at_hash=access)
        return answer

    def _check_client(self, request: Request, form: dict[str, str]) -> None:
        scheme, _, credentials = header(request, "authorization").partition(" ")
        match self.auth_method:
            case "client_secret_basic":
                assert scheme == "Basic"
                name, _, secret = base64.b64decode(credentials).decode().partition(":")
                assert (unquote_plus(name), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)
                assert "client_secret" not in form
            case "private_key_jwt":
                assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
                claims = claims_of(form["client_assertion"])
                assert claims["iss"] == claims["sub"] == CLIENT_ID
                assert claims["aud"] == ISSUER, "the issuer, as a text"
                assert self.now - 60 <= claims["iat"] <= claims["exp"] <= self.now + 600
                assert claims["jti"] not in self.proofs
                self.proofs.add(claims["jti"])

    def _check_proof(self, request: Request, access_token: str | None) -> Reply | None:
        """Check a DPoP proof as a FAPI provider does; ask for a nonce if there is none."""
        if not self.dpop:
            return None
        proof = header(request, "dpop")
        head, claims = json.loads(b64url_decode(proof.split(".")[0])), claims_of(proof)
        assert head["typ"] == "dpop+jwt"
        assert "d" not in head["jwk"]
        assert claims["htm"] == request.method
        assert claims["htu"] == request.url.partition("?")[0]
        assert abs(claims["iat"] - self.now) <= 10
        assert claims["jti"] not in self.proofs
        self.proofs.add(claims["jti"])
        assert jwk_thumbprint(head["jwk"])
        if access_token is not None:
            assert claims["ath"] == b64url_encode(hashlib.sha256(access_token.encode()).digest())
        if not self.nonces or claims.get("nonce") == self.nonce:
            return None
        if access_token is not None:
            challenge = self.more.get("challenge", 'DPoP error="use_dpop_nonce"')
            return Reply(401, (("www-authenticate", challenge), ("dpop-nonce", self.nonce)), b"", request.url)
        said = json_reply({"error": "use_dpop_nonce"}, request, 400)
        return Reply(400, (*said.headers, ("dpop-nonce", self.nonce)), said.body, request.url)

    # ---- the rest

    def _par(self, request: Request) -> Reply:
        refused = self._check_proof(request, None)
        if refused is not None:
            return refused
        form = unique(request.body.decode())
        self._check_client(request, form)
        if "request" in form:
            assert form.keys() <= {"request", "client_assertion", "client_assertion_type"}  # RFC 9126 3
            signed = claims_of(form["request"])
            head = json.loads(b64url_decode(form["request"].split(".")[0]))
            assert head["typ"] == "oauth-authz-req+jwt"
            assert (signed["iss"], signed["aud"], signed["client_id"]) == (CLIENT_ID, ISSUER, CLIENT_ID)
            assert self.now - 3600 <= signed["nbf"] <= signed["exp"] <= signed["nbf"] + 3600
            form = {name: value for name, value in signed.items() if name not in ("iss", "aud", "exp", "nbf", "iat")}
        assert "request_uri" not in form
        uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(16)}"
        self.pushed[uri] = form
        # The suite remembers a pushed request for ten minutes, though FAPI 2.0 5.3.2.2 says less.
        return json_reply(self.wrong.pushed({"request_uri": uri, "expires_in": 600}), request, 201)

    def _userinfo(self, request: Request) -> Reply:
        scheme, _, token = header(request, "authorization").partition(" ")
        assert "access_token" not in urlsplit(request.url).query
        assert scheme == ("DPoP" if self.dpop else "Bearer")
        refused = self._check_proof(request, token)
        if refused is not None:
            return refused
        claims = self.wrong.userinfo({"sub": "user-1", "name": "Ada", "email": "ada@example.com"})
        if isinstance(claims, str):
            return Reply(200, (("content-type", "application/jwt"),), claims.encode(), request.url)
        return json_reply(claims, request)


_KEYS: dict[tuple[str, str | None], SigningKey] = {}


def signing_key(alg: str, kid: str | None) -> SigningKey:
    """Return the key of that name, made once."""
    if (alg, kid) not in _KEYS:
        _KEYS[alg, kid] = SigningKey.generate(alg, kid=kid)
    return _KEYS[alg, kid]


def crv_of(key: SigningKey) -> str | None:
    """Return the curve of a key, if it has one."""
    return (key.public_jwk or {}).get("crv")


def json_reply(members: Any, request: Request, status: int = 200) -> Reply:
    """Return a JSON reply."""
    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return Reply(status, headers, json.dumps(members).encode(), request.url)


def header(request: Request, name: str) -> str:
    """Return the value of a header that stands once, or nothing."""
    values = [value for key, value in request.headers if key.lower() == name]
    assert len(values) <= 1
    return values[0] if values else ""


def unique(text: str) -> dict[str, str]:
    """Read a form or a query in which no parameter stands twice."""
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs)), pairs
    return dict(pairs)


def claims_of(token: str) -> Claims:
    """Return the claims of a compact JWS, unverified."""
    claims: Claims = json.loads(b64url_decode(token.split(".")[1]))
    return claims


def resigned(alg: str, **header_: Any) -> Change:
    """Return the change that signs an ID token anew: with another algorithm, or with none."""

    def change(token: str) -> str:
        claims = claims_of(token)
        if alg == "none":
            head = b64url_encode(json.dumps({"alg": "none", **header_}).encode())
            return f"{head}.{token.split('.')[1]}."
        if alg.startswith("HS"):
            return sign_compact(claims, SigningKey.from_secret(CLIENT_SECRET, alg, kid=None), headers=header_)
        return sign_compact(claims, signing_key(alg, "op-other"), headers=header_)

    return change


def corrupt(token: str) -> str:
    """Return a token whose signature is not good."""
    head, payload, signature = token.split(".")
    data = bytearray(b64url_decode(signature))
    data[len(data) // 2] ^= 1
    return f"{head}.{payload}.{b64url_encode(bytes(data))}"
