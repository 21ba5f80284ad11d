"""Authorization responses in a JWT: nothing in them can be changed, added or taken from another response (JARM).

JWT Secured Authorization Response Mode for OAuth 2.0, FAPI 2.0 Message Signing 5.4.2. What is verified goes on as a
:class:`Callback`, like the parameters of any other response mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ..._arguments import explains_arguments
from ..._refusals import must_be, refused
from ...exceptions import AuthorizeCallbackException, JarmValidationException, TokenValidationException
from ..base.flow import Flow
from ..base.secret import same_text
from ..discovery.key_sources import discover
from ..discovery.metadata import DiscoveryPolicy, with_backchannel
from ..discovery.trust import Stores
from ..jose.algorithms import SignatureAlgorithm
from ..jose.jwks import JwksResponse
from ..jose.jws import parse_compact
from ..validation.claim_checks import Claims
from ..validation.config import TokenValidationConfig, Validators
from ..validation.payload import payload_claims
from ..validation.signed_response import SignedResponsePolicy, decrypted, verify_signed
from ..validation.token_kinds import JARM_RESPONSE
from .callback import AuthorizeCallbackResponse, Callback, CallbackInput, parse_callback_values, read_callback

if TYPE_CHECKING:
    from ..jose.jwe import Decryption

#: ``response_mode`` of what came in a JWT, however it came.
JWT_MODE = "jwt"
#: Values of ``response_mode`` that ask for a JWT (JARM 2.3).
JARM_RESPONSE_MODES = frozenset({"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"})

#: Claims of the JWT itself, which are no response parameters. ``iss`` is both (RFC 9207 2.4).
_NO_PARAMETERS = frozenset({"aud", "exp", "iat", "nbf", "jti", "sub"})
#: What must not stand beside the JWT: nobody signed it.
_OUTSIDE = ("code", "access_token", "id_token", "error", "state")


@dataclass(frozen=True, slots=True)
class JarmPolicy:
    """What an authorization response in a JWT must be, as :func:`process_jarm_response` takes it."""

    client_id: str
    disco_doc_address: str | None = None
    issuer: str | None = None
    jwks: JwksResponse | None = None
    algorithms: Sequence[SignatureAlgorithm] | None = None
    require_https: bool = True
    leeway: float = 0
    decryption: Decryption | None = field(default=None, repr=False)
    backchannel: str | None = None
    state: str | None = field(default=None, repr=False)


class SignedCallback(NamedTuple):
    """A callback whose parameters are in a JWT: the signed one, decrypted, and what it says before it is verified."""

    callback: Callback
    token: str
    #: The ``state`` that it names, to know whether anybody waits for it; nothing else is read yet.
    state: str | None

    def __repr__(self) -> str:
        return f"SignedCallback({self.callback.response_mode})"


# ---------------------------------------------------------------------------------------------------------------------
# What came in


@explains_arguments
def is_jarm_response(redirect_uri: str) -> bool:
    """Tell whether the URL that the user was sent back to carries its response in a JWT (JARM 2.3).

    Args:
        redirect_uri: The URL that was called.

    >>> is_jarm_response("https://app.example.com/cb?response=eyJhbGciOiJFUzI1NiJ9.e30.AAAA")
    True
    """
    try:
        return "response" in read_callback(redirect_uri).values
    except AuthorizeCallbackException:
        return False


@explains_arguments
def extract_jarm_response_jwt(redirect_uri: str) -> str:
    """Take the JWT out of the URL that the user was sent back to. Nothing is verified (JARM 2.3.1, 2.3.2).

    Args:
        redirect_uri: The URL that was called.

    Raises:
        AuthorizeCallbackException: There is none, it came twice, or parameters that nobody signed stand beside it.

    >>> extract_jarm_response_jwt("https://app.example.com/cb?response=eyJhbGciOiJFUzI1NiJ9.e30.AAAA")
    'eyJhbGciOiJFUzI1NiJ9.e30.AAAA'
    """
    return response_jwt(read_callback(redirect_uri))


def response_jwt(callback: Callback) -> str:
    """Return the JWT of a callback.

    Raises:
        JarmValidationException: There is none, or parameters that nobody signed stand beside it.
    """
    token = callback.values.get("response")
    if token is None:
        raise _refused("jarm_response_missing", "The callback carries no response in a JWT", "response")
    beside = next((name for name in _OUTSIDE if name in callback.values), None)
    if beside is not None:
        raise _refused(
            "authorization_response_ambiguous", f"The response is a JWT, yet {beside} stands beside it", beside
        )
    return token


def jarm_parameters(claims: Claims) -> dict[str, str]:
    """Return the response parameters among the claims of a verified JWT, as texts (JARM 2.1).

    Raises:
        JarmValidationException: One that must be text is not.
    """
    parameters = {}
    for name, value in claims.items():
        if name in _NO_PARAMETERS:
            continue
        text = _text(value)
        if text is not None:
            parameters[name] = text
        elif name in _KNOWN:
            raise _refused("jarm_parameter_invalid", f"{name} must be text", name)
        # RFC 6749 4.1.2: what is not known is left aside.
    return parameters


def _text(value: object) -> str | None:
    """Return a parameter as text, which a number may stand for; None for what is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


_KNOWN = frozenset(
    {"code", "state", "iss", "error", "error_description", "error_uri", "access_token", "token_type", "expires_in"}
    | {"id_token", "scope", "session_state", "refresh_token", "response"}
)


def open_jarm(callback: Callback, decryption: Decryption | None) -> SignedCallback:
    """Decrypt the JWT of a callback if that was agreed upon, and read the ``state`` that it names.

    Nothing is verified, and nothing fetched: it tells whether anybody waits for this response.

    Raises:
        JarmValidationException: There is no such JWT, or it cannot be read.
    """
    token = response_jwt(callback)
    try:
        signed = decrypted(token, decryption)
        claims = payload_claims(parse_compact(signed))
    except TokenValidationException as error:
        _reraise(error)
    return SignedCallback(callback, signed, _text(claims.get("state")))


# ---------------------------------------------------------------------------------------------------------------------
# Flows


def verify_jarm(
    opened: SignedCallback, config: TokenValidationConfig, address: str | None, validators: Validators, *, login: bool
) -> Flow[Callback]:
    """Verify the JWT of a callback and return the callback that it stands for.

    Anybody can send any number of them. So one that answers no login under way has no longer patience than a token.

    Args:
        opened: What came, by :func:`open_jarm`.
        config: What to check: its ``audience`` is the ``client_id``.
        address: The issuer URL, or the URL of its metadata.
        validators: The validators of the API at hand.
        login: Whether the application has begun the login that ``opened.state`` names, and ended its wait with this.

    Raises:
        JarmValidationException: It is refused; ``code`` and ``claim`` are those of the underlying refusal.
        NetworkException: It cannot be verified right now.
        ConfigurationException: The policy cannot be used safely.
    """
    callback, policy = opened.callback, SignedResponsePolicy(config, address)
    try:
        # JARM 2.4: iss, aud, exp; signature, never `none`. All of it as for any token.
        claims = yield from verify_signed(opened.token, policy, JARM_RESPONSE, validators, login=login)
    except TokenValidationException as error:
        _reraise(error)
    return Callback(jarm_parameters(claims), JWT_MODE, callback.raw, callback.address)


def process_jarm_response(
    response: CallbackInput, policy: JarmPolicy, is_jwt: bool, validators: Validators, stores: Callable[[], Stores]
) -> Flow[AuthorizeCallbackResponse]:
    """Verify an authorization response in a JWT and take it apart."""
    if is_jwt and isinstance(response, str):
        callback = Callback({"response": response}, None, response)
    else:
        callback = read_callback(response)
    # Nothing is fetched for what is none, or answers another request.
    opened = open_jarm(callback, policy.decryption)
    _check_state(opened, policy.state)
    issuer = policy.issuer
    if policy.jwks is not None and issuer is None and policy.disco_doc_address is not None:
        discovery = with_backchannel(DiscoveryPolicy(require_https=policy.require_https), policy.backchannel)
        issuer = (yield from discover(stores(), policy.disco_doc_address, discovery)).value.issuer
    config = _config(policy, issuer)
    verified = yield from verify_jarm(opened, config, policy.disco_doc_address, validators, login=False)
    return parse_callback_values(verified)


def _check_state(opened: SignedCallback, expected: str | None) -> None:
    if expected is None:
        return
    if not expected:
        raise must_be("state", "text that is not empty, or None")
    if not opened.state:
        raise _refused("state_missing", "The response has no state", "state")
    if not same_text(opened.state, expected):
        raise _refused("state_mismatch", "The state is not the one that was sent", "state")


def _config(policy: JarmPolicy, issuer: str | None) -> TokenValidationConfig:
    return TokenValidationConfig(
        perform_disco=policy.jwks is None,
        key=None if policy.jwks is None else _key_set(policy.jwks),
        audience=policy.client_id,
        algorithms=policy.algorithms,
        issuer=issuer,
        require_https=policy.require_https,
        # Left at its default, the few seconds that clocks may differ are granted to nbf and iat.
        leeway=policy.leeway or None,
        backchannel=policy.backchannel,
    )


def _key_set(jwks: JwksResponse) -> dict[str, Any]:
    jwks.raise_for_error()
    return {"keys": [key.as_dict() for key in jwks.keys or ()]}


_refused = partial(refused, JarmValidationException)


def _reraise(error: TokenValidationException) -> NoReturn:
    hint = error.hint
    if error.code == "token_encrypted":
        hint = "give decryption, the keys that the client is registered with"
    raise JarmValidationException(
        f"The authorization response is refused: {error.message}",
        error.details,
        code=error.code,
        claim=error.claim,
        expected=error.expected,
        actual=error.actual,
        hint=hint,
    ) from error


__all__ = [
    "JARM_RESPONSE_MODES",
    "JWT_MODE",
    "JarmPolicy",
    "SignedCallback",
    "extract_jarm_response_jwt",
    "is_jarm_response",
    "jarm_parameters",
    "open_jarm",
    "process_jarm_response",
    "response_jwt",
    "verify_jarm",
]
