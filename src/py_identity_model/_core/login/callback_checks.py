"""Whether a callback may be acted upon: it answers this user agent's request, and comes from the provider asked.

RFC 6749 10.12 (``state``), RFC 9207 2.4 (``iss``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..._arguments import explains_arguments
from ...exceptions import AuthorizeCallbackException, ConfigurationException, printable
from ..base.secret import same_text
from ..discovery.metadata import DiscoveryDocumentResponse
from .callback import AuthorizeCallbackResponse


class AuthorizeCallbackValidationResult(StrEnum):
    """How a check of a callback ended."""

    SUCCESS = "success"
    STATE_MISMATCH = "state_mismatch"
    MISSING_STATE = "missing_state"
    ERROR_RESPONSE = "error_response"
    ISSUER_MISMATCH = "issuer_mismatch"
    MISSING_ISSUER = "missing_issuer"


@dataclass(frozen=True)
class StateValidationResult:
    """Whether a callback may be acted upon. Its truth value is ``is_valid``.

    Attributes:
        is_valid: Whether it may.
        result: How the check ended.
        error: What is wrong; the provider's ``error`` for an error response.
        error_description: The same in words.
    """

    is_valid: bool
    result: AuthorizeCallbackValidationResult
    error: str | None = None
    error_description: str | None = None

    def __bool__(self) -> bool:
        return self.is_valid

    def raise_for_error(self) -> None:
        """Raise what is wrong; do nothing if nothing is.

        Raises:
            AuthorizeCallbackException: The callback must not be acted upon.
        """
        if not self.is_valid:
            raise AuthorizeCallbackException(
                self.error_description or f"The authorization response is refused: {self.result.value}",
                code=_RESULT_CODES[self.result],
                claim="iss" if "issuer" in self.result.value else "state" if "state" in self.result.value else "error",
            )


_RESULT_CODES = {
    AuthorizeCallbackValidationResult.STATE_MISMATCH: "state_mismatch",
    AuthorizeCallbackValidationResult.MISSING_STATE: "state_missing",
    AuthorizeCallbackValidationResult.ERROR_RESPONSE: "authorization_refused",
    AuthorizeCallbackValidationResult.ISSUER_MISMATCH: "authorization_issuer_mismatch",
    AuthorizeCallbackValidationResult.MISSING_ISSUER: "authorization_issuer_missing",
}


@explains_arguments
def validate_authorize_callback_state(
    response: AuthorizeCallbackResponse, expected_state: str | None
) -> StateValidationResult:
    """Tell whether the response answers the request of this user agent (RFC 6749 10.12).

    Args:
        response: The response.
        expected_state: The ``state`` that was sent; None, if it cannot be found any more, is a failure.

    >>> from py_identity_model._core.login.callback import parse_authorize_callback_response
    >>> response = parse_authorize_callback_response("https://app.example.com/cb?code=c&state=s")
    >>> validate_authorize_callback_state(response, "other").result.value
    'state_mismatch'
    """
    if not response.is_successful:
        return _error_response(response)
    if not response.state or not expected_state:
        which = "The response has no state" if not response.state else "There is no state to compare with"
        return _verdict(AuthorizeCallbackValidationResult.MISSING_STATE, which)
    if not same_text(response.state, expected_state):
        return _verdict(AuthorizeCallbackValidationResult.STATE_MISMATCH, "The state is not the one that was sent")
    return StateValidationResult(True, AuthorizeCallbackValidationResult.SUCCESS)


@explains_arguments
def validate_authorize_callback_issuer(
    response: AuthorizeCallbackResponse,
    expected_issuer: str | None,
    *,
    iss_parameter_supported: bool = False,
    require: bool = False,
    metadata: DiscoveryDocumentResponse | None = None,
) -> StateValidationResult:
    """Tell whether the response comes from the provider that was asked (RFC 9207 2.4).

    Args:
        response: The response. The issuer of an error response is checked first: its error counts only then.
        expected_issuer: The provider's issuer identifier, as validated at discovery; that of *metadata* if None.
        iss_parameter_supported: The provider's ``authorization_response_iss_parameter_supported``; then ``iss`` must
            be there.
        require: Whether ``iss`` must be there in any case.
        metadata: The provider's metadata: it tells whether ``iss`` is announced, so that nobody has to.

    Raises:
        PyIdentityModelException: *metadata* is a failed response: whatever it failed with.
        ConfigurationException: *metadata* is another issuer's than *expected_issuer*.

    >>> from py_identity_model._core.login.callback import parse_authorize_callback_response
    >>> response = parse_authorize_callback_response("https://app.example.com/cb?code=c&iss=https://id.example.com")
    >>> validate_authorize_callback_issuer(response, "https://id.example.com").is_valid
    True
    """
    if metadata is not None:
        expected_issuer, announced = _announced(metadata, expected_issuer)
        iss_parameter_supported = iss_parameter_supported or announced
    issuer = response.values.get("iss")
    if issuer is None and (iss_parameter_supported or require):
        return _verdict(
            AuthorizeCallbackValidationResult.MISSING_ISSUER, "The response does not say which provider it is from"
        )
    # RFC 9207 2.4: decode, then compare as simple strings.
    if issuer is not None and issuer != expected_issuer:
        return _verdict(
            AuthorizeCallbackValidationResult.ISSUER_MISMATCH, "The response is from another provider than was asked"
        )
    if not response.is_successful:
        return _error_response(response)
    return StateValidationResult(True, AuthorizeCallbackValidationResult.SUCCESS)


def _announced(metadata: DiscoveryDocumentResponse, expected_issuer: str | None) -> tuple[str | None, bool]:
    metadata.raise_for_error()
    if expected_issuer is not None and expected_issuer != metadata.issuer:
        raise ConfigurationException(
            "The metadata is another issuer's",
            code="policy_invalid",
            claim="metadata",
            expected=printable(expected_issuer),
            actual=printable(metadata.issuer),
        )
    return metadata.issuer, metadata.authorization_response_iss_parameter_supported is True


def _verdict(result: AuthorizeCallbackValidationResult, words: str) -> StateValidationResult:
    return StateValidationResult(False, result, result.value, words)


def _error_response(response: AuthorizeCallbackResponse) -> StateValidationResult:
    return StateValidationResult(
        False, AuthorizeCallbackValidationResult.ERROR_RESPONSE, response.error, response.error_description
    )


__all__ = [
    "AuthorizeCallbackValidationResult",
    "StateValidationResult",
    "validate_authorize_callback_issuer",
    "validate_authorize_callback_state",
]
