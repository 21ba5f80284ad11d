"""Every refusal of the library, as one tree with stable codes.

To a server, :class:`ValidationException` says the thing presented is not valid (HTTP 401), :class:`NetworkException`
that it cannot be verified right now (HTTP 503). Branch on the type or on ``code``, never on the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from ._written import written

if TYPE_CHECKING:
    from ._error_facts import Details, ErrorFacts, NetworkFacts

MAX_ECHO = 200  # the longest piece of foreign text that is ever repeated in a message
#: Where the documentation is. The addresses of the project in ``pyproject.toml`` and ``mkdocs.yml`` are the same.
DOCUMENTATION = "https://py-identity-model.readthedocs.io/en/latest/"


def printable(value: object, limit: int = MAX_ECHO) -> str:
    """Return *value* as one bounded line that cannot forge log lines, move a terminal's cursor or turn text around."""
    text = value if isinstance(value, str) else written(value)
    safe = (c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text[:limit])
    return "".join(safe) + ("..." if len(text) > limit else "")


class ClientError(NamedTuple):
    """What a stranger may be told about a refusal: the same for every cause of the same class (RFC 6750 3.1)."""

    status: int
    error: str
    error_description: str
    retry_after: float | None = None


def _rebuild(cls: type[PyIdentityModelException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    exc = cls.__new__(cls)
    Exception.__init__(exc, *args)
    exc.__dict__.update(state)
    return exc


class PyIdentityModelException(Exception):
    """The root: ``except PyIdentityModelException`` catches whatever this library raises.

    Attributes:
        message: What happened, without the hint.
        code: A stable, machine-readable name of the cause; the errors reference lists all of them.
        claim: The claim, header parameter, field or variable concerned, if one is.
        expected: What would have been accepted.
        actual: What came instead; never a token, a key, a secret or a response body.
        hint: What most likely went wrong and what to do about it, where that is known.
        details: Further machine-readable facts.
        needs_new_login: Whether only a new login of the user helps: a refresh token that is dead, a login that has
            failed. Otherwise the tokens at hand stay good, and asking again later may work.
    """

    code: str = "error"
    needs_new_login: bool = False

    def __init__(
        self,
        message: str,
        details: Details = None,
        *,
        code: str | None = None,
        claim: str | None = None,
        expected: object = None,
        actual: object = None,
        hint: str | None = None,
    ) -> None:
        self.message: str = message.encode("utf-8", "backslashreplace").decode()  # without half characters
        super().__init__(self.message)
        self.details: dict[str, Any] = dict(details or {})
        if code is not None:
            self.code = code
        self.claim = claim
        self.expected = expected
        self.actual = actual
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def __copy__(self) -> Any:  # said once more: tblib, which comes with Dask, has copies carry traceback and cause
        return _rebuild(type(self), self.args, dict(self.__dict__))

    @property
    def help(self) -> str:
        """The address of what the documentation says about ``code``. The command line shows it beside the hint.

        >>> TokenExpiredException("Token expired 5 s ago").help
        'https://py-identity-model.readthedocs.io/en/latest/reference/errors/#token_expired'
        """
        return f"{DOCUMENTATION}reference/errors/#{self.code}"

    @property
    def client_error(self) -> ClientError:
        """The view of this error that is safe to send to a client.

        >>> TokenExpiredException("Token expired 5 s ago").client_error
        ClientError(status=401, error='invalid_token', error_description='The token is not valid', retry_after=None)
        """
        return ClientError(500, "server_error", "The server could not process the request")


class ConfigurationException(PyIdentityModelException):
    """The caller's own settings, arguments or keys cannot be used safely; nothing was checked."""

    code = "configuration_invalid"


class DiscoveryHTTPSRequiredError(ConfigurationException):
    """An address is plain http where https is required (RFC 8414 2, OpenID Connect Discovery 4)."""

    code = "https_required"


class ValidationException(PyIdentityModelException):
    """Something presented to us is not valid."""

    code = "invalid"

    @property
    def client_error(self) -> ClientError:
        return ClientError(401, "invalid_token", "The token is not valid")


class TokenValidationException(ValidationException):
    """A token is refused; ``token_part`` says where: ``token``, ``header``, ``payload`` or ``signature``."""

    code = "token_invalid"

    def __init__(
        self, message: str, token_part: str | None = None, details: Details = None, **facts: Unpack[ErrorFacts]
    ) -> None:
        super().__init__(message, details, **facts)
        self.token_part = token_part


class _TokenRefusal(TokenValidationException):
    """Token refusals published with the constructor ``(message, details=None)``."""

    part: str | None = None

    def __init__(self, message: str, details: Details = None, **facts: Unpack[ErrorFacts]) -> None:
        super().__init__(message, self.part, details, **facts)


class SignatureVerificationException(_TokenRefusal):
    """The signature does not fit the token, the key or the algorithm (RFC 7515 5.2)."""

    code = "signature_invalid"
    part: str | None = "signature"


class UnknownKeyException(SignatureVerificationException):
    """No key of the issuer fits, also after a refresh; ``details["retry_after"]``: seconds until the next one."""

    code = "key_unknown"


class TokenExpiredException(_TokenRefusal):
    """``exp`` has passed (RFC 7519 4.1.4)."""

    code = "token_expired"
    part: str | None = "payload"


class TokenNotYetValidException(_TokenRefusal):
    """``nbf`` or ``iat`` lies in the future (RFC 7519 4.1.5, 4.1.6)."""

    code = "token_not_yet_valid"
    part: str | None = "payload"


class InvalidAudienceException(_TokenRefusal):
    """The token was made for another recipient (RFC 7519 4.1.3)."""

    code = "audience_mismatch"
    part: str | None = "payload"


class InvalidIssuerException(_TokenRefusal):
    """The token was made by another issuer (RFC 7519 4.1.1)."""

    code = "issuer_mismatch"
    part: str | None = "payload"


class CertificateBindingError(_TokenRefusal):
    """The client certificate is not the one the token is bound to (RFC 8705 3)."""

    code = "certificate_mismatch"
    part: str | None = "payload"


class DPoPValidationException(_TokenRefusal):
    """A DPoP proof, or the binding of a token to its key, does not hold (RFC 9449 4.3, 7.1)."""

    code = "dpop_proof_invalid"
    nonce: str | None = None  #: What the answer must have as ``DPoP-Nonce``, where only this check could make it.

    @property
    def client_error(self) -> ClientError:
        # RFC 9449 7.1 and 9: what is wrong with the token is told apart from what is wrong with the proof.
        if self.code in ("dpop_nonce_required", "dpop_nonce_invalid"):
            return ClientError(401, "use_dpop_nonce", "The DPoP proof needs the nonce of this response")
        if self.code in ("dpop_key_mismatch", "dpop_token_as_bearer", "dpop_token_unbound", "dpop_unsupported"):
            return super().client_error
        return ClientError(401, "invalid_dpop_proof", "The DPoP proof is not valid")


class IdTokenValidationException(TokenValidationException):
    """An ID token breaks a rule of OpenID Connect Core 3.1.3.7 that access tokens do not have."""

    code = "id_token_invalid"


class ClaimsValidationError(TokenValidationException):
    """A claims validator of the application refused the token.

    Attributes:
        reason: Why.
        raised: The exception of this library that the validator raised, where it was no refusal of a token: a scope
            that is missing, a provider that is down. ``code`` and the answer to the client are that exception's.
    """

    code = "claims_refused"
    raised: PyIdentityModelException | None = None

    def __init__(self, reason: str, **facts: Unpack[ErrorFacts]) -> None:
        super().__init__(reason, "payload", **facts)
        self.reason = reason

    @classmethod
    def because(cls, error: PyIdentityModelException) -> ClaimsValidationError:
        """Return the refusal for what a claims validator raised."""
        facts = {name: getattr(error, name) for name in ("code", "claim", "expected", "actual", "hint")}
        made = cls(error.message, **facts)
        made.raised = error
        return made

    @property
    def client_error(self) -> ClientError:
        return super().client_error if self.raised is None else self.raised.client_error


class LogoutTokenValidationException(TokenValidationException):
    """A logout token breaks a rule of OpenID Connect Back-Channel Logout 2.6."""

    code = "logout_token_invalid"


class LogoutStateValidationException(ValidationException):
    """The ``state`` of a logout redirect is not the one that was sent."""

    code = "logout_state_mismatch"


class AuthorizeCallbackException(ValidationException):
    """An authorization response must not be acted upon (RFC 6749 4.1.2, RFC 9207)."""

    code = "authorization_response_invalid"


class JarmValidationException(AuthorizeCallbackException):
    """A JWT-secured authorization response (JARM) is refused."""

    code = "jarm_response_invalid"


class MissingCredentialsException(ValidationException):
    """A request carries no access token; its challenge names no error (RFC 6750 3.1)."""

    code = "credentials_missing"

    @property
    def client_error(self) -> ClientError:
        return ClientError(401, "", "")


class InvalidRequestException(ValidationException):
    """A request presents its access token in a way that is not allowed (RFC 6750 2 and 3.1)."""

    code = "request_invalid"

    @property
    def client_error(self) -> ClientError:
        return ClientError(400, "invalid_request", "The request is malformed")


class InsufficientScopeException(ValidationException):
    """The access token is valid but does not grant enough; ``scope`` is what is needed (RFC 6750 3.1)."""

    code = "scope_insufficient"

    def __init__(
        self, message: str, scope: tuple[str, ...] = (), details: Details = None, **facts: Unpack[ErrorFacts]
    ) -> None:
        super().__init__(message, details, **facts)
        self.scope = scope

    @property
    def client_error(self) -> ClientError:
        return ClientError(403, "insufficient_scope", "The request requires higher privileges than the token grants")


class InsufficientUserAuthenticationException(ValidationException):
    """The user must authenticate better or anew (RFC 9470 3).

    ``acr_values`` and ``max_age`` (seconds) are what the resource requires; ``scope`` is what it needs besides, where
    the token does not grant that either.
    """

    code = "user_authentication_insufficient"
    scope: tuple[str, ...] = ()

    def __init__(
        self,
        message: str,
        acr_values: tuple[str, ...] = (),
        max_age: int | None = None,
        details: Details = None,
        **facts: Unpack[ErrorFacts],
    ) -> None:
        super().__init__(message, details, **facts)
        self.acr_values = acr_values
        self.max_age = max_age

    @property
    def client_error(self) -> ClientError:
        return ClientError(401, "insufficient_user_authentication", "A different authentication level is required")


class NetworkException(PyIdentityModelException):
    """Something cannot be fetched or verified right now; it says nothing about the token's validity."""

    code = "network_error"

    def __init__(
        self,
        message: str,
        url: str | None = None,
        status_code: int | None = None,
        details: Details = None,
        *,
        retry_after: float | None = None,
        **facts: Unpack[ErrorFacts],
    ) -> None:
        super().__init__(message, details, **facts)
        self.url = url
        self.status_code = status_code
        self.retry_after = retry_after

    @property
    def client_error(self) -> ClientError:
        said = "The token cannot be verified at the moment"
        return ClientError(503, "temporarily_unavailable", said, self.retry_after)


class TransportException(NetworkException):
    """No usable HTTP reply came: connection, TLS, deadline, size or encoding. ``code`` tells which."""

    code = "transport_failed"


class StoreException(NetworkException):
    """What is shared or must be remembered cannot be read or written right now. ``code`` tells why."""

    code = "store_failed"


class DiscoveryException(NetworkException):
    """A provider's metadata cannot be fetched or used."""

    code = "discovery_failed"


class DiscoveryParseError(DiscoveryException):
    """A provider's metadata is not the JSON object it should be."""

    code = "discovery_unparsable"


class DiscoveryMissingFieldsError(DiscoveryException):
    """A provider's metadata lacks members that are required; ``fields`` names them."""

    code = "discovery_fields_missing"

    def __init__(self, message: str, fields: tuple[str, ...] | list[str] = (), **facts: Unpack[NetworkFacts]) -> None:
        super().__init__(message, **facts)
        self.fields: tuple[str, ...] = tuple(fields)


class JwksException(NetworkException):
    """A provider's key set cannot be fetched or used."""

    code = "jwks_failed"


class _EndpointRefusal(NetworkException):
    """An endpoint that gives its reasons as ``error``, ``error_description`` and ``error_uri``."""

    def __init__(
        self,
        message: str,
        url: str | None = None,
        status_code: int | None = None,
        details: Details = None,
        *,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
        retry_after: float | None = None,
        **facts: Unpack[ErrorFacts],
    ) -> None:
        super().__init__(message, url, status_code, details, retry_after=retry_after, **facts)
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri


class TokenRequestException(_EndpointRefusal):
    """A token endpoint, or an endpoint authenticated like one, refused (``error``, RFC 6749 5.2) or failed."""

    code = "token_request_failed"


class UserInfoException(_EndpointRefusal):
    """The UserInfo endpoint refused (``error``, RFC 6750 3.1), failed, or answered about another user."""

    code = "userinfo_failed"


class FailedResponseAccessError(PyIdentityModelException):
    """A data field of a failed response was read."""

    code = "response_failed"

    def __init__(self, field_name: str, error: str | None = None) -> None:
        super().__init__(
            f"Cannot read {field_name!r}: the request failed" + (f": {error}" if error else ""),
            hint="check is_successful first, or call raise_for_error()",
        )
        self.field_name = field_name
        self.error = error


class SuccessfulResponseAccessError(PyIdentityModelException):
    """An error field was read where there is no error."""

    code = "response_successful"

    def __init__(self, field_name: str = "error") -> None:
        super().__init__(f"Cannot read {field_name!r}: the request was successful")
        self.field_name = field_name


__all__ = [
    "AuthorizeCallbackException",
    "CertificateBindingError",
    "ClaimsValidationError",
    "ClientError",
    "ConfigurationException",
    "DPoPValidationException",
    "DiscoveryException",
    "DiscoveryHTTPSRequiredError",
    "DiscoveryMissingFieldsError",
    "DiscoveryParseError",
    "FailedResponseAccessError",
    "IdTokenValidationException",
    "InsufficientScopeException",
    "InsufficientUserAuthenticationException",
    "InvalidAudienceException",
    "InvalidIssuerException",
    "InvalidRequestException",
    "JarmValidationException",
    "JwksException",
    "LogoutStateValidationException",
    "LogoutTokenValidationException",
    "MissingCredentialsException",
    "NetworkException",
    "PyIdentityModelException",
    "SignatureVerificationException",
    "StoreException",
    "SuccessfulResponseAccessError",
    "TokenExpiredException",
    "TokenNotYetValidException",
    "TokenRequestException",
    "TokenValidationException",
    "TransportException",
    "UnknownKeyException",
    "UserInfoException",
    "ValidationException",
]
