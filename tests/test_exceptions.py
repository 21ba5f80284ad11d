"""The exception tree: what catches what, what an error tells, and whom."""

from __future__ import annotations

import copy
import copyreg
import pickle
from typing import Any

import pytest

from py_identity_model import exceptions
from py_identity_model._bulk_job import WorkerDied
from py_identity_model._config import ConfigError, ConfigIssue
from py_identity_model._core.cache.answers import RefreshCrowded, RefreshDenied
from py_identity_model._core.client.token_errors import LoginRequired, StepUpRequired, TokenUnavailable
from py_identity_model.exceptions import (
    AuthorizeCallbackException,
    CertificateBindingError,
    ClaimsValidationError,
    ClientError,
    ConfigurationException,
    DiscoveryException,
    DiscoveryHTTPSRequiredError,
    DiscoveryMissingFieldsError,
    DiscoveryParseError,
    DPoPValidationException,
    FailedResponseAccessError,
    IdTokenValidationException,
    InsufficientScopeException,
    InsufficientUserAuthenticationException,
    InvalidAudienceException,
    InvalidIssuerException,
    InvalidRequestException,
    JarmValidationException,
    JwksException,
    LogoutStateValidationException,
    LogoutTokenValidationException,
    MissingCredentialsException,
    NetworkException,
    PyIdentityModelException,
    SignatureVerificationException,
    StoreException,
    SuccessfulResponseAccessError,
    TokenExpiredException,
    TokenNotYetValidException,
    TokenRequestException,
    TokenValidationException,
    TransportException,
    UnknownKeyException,
    UserInfoException,
    ValidationException,
    printable,
)
from py_identity_model.integrations._guard import NobodyError
from py_identity_model.integrations._packages import FrameworkMissingError

#: Class -> the class published code catches it by, and its code.
TREE: dict[type[PyIdentityModelException], tuple[type[Exception], str]] = {
    PyIdentityModelException: (Exception, "error"),
    WorkerDied: (PyIdentityModelException, "worker_died"),
    ConfigurationException: (PyIdentityModelException, "configuration_invalid"),
    DiscoveryHTTPSRequiredError: (ConfigurationException, "https_required"),
    ValidationException: (PyIdentityModelException, "invalid"),
    TokenValidationException: (ValidationException, "token_invalid"),
    SignatureVerificationException: (TokenValidationException, "signature_invalid"),
    UnknownKeyException: (SignatureVerificationException, "key_unknown"),
    TokenExpiredException: (TokenValidationException, "token_expired"),
    TokenNotYetValidException: (TokenValidationException, "token_not_yet_valid"),
    InvalidAudienceException: (TokenValidationException, "audience_mismatch"),
    InvalidIssuerException: (TokenValidationException, "issuer_mismatch"),
    CertificateBindingError: (TokenValidationException, "certificate_mismatch"),
    DPoPValidationException: (TokenValidationException, "dpop_proof_invalid"),
    IdTokenValidationException: (TokenValidationException, "id_token_invalid"),
    ClaimsValidationError: (TokenValidationException, "claims_refused"),
    LogoutTokenValidationException: (TokenValidationException, "logout_token_invalid"),
    LogoutStateValidationException: (ValidationException, "logout_state_mismatch"),
    AuthorizeCallbackException: (ValidationException, "authorization_response_invalid"),
    JarmValidationException: (AuthorizeCallbackException, "jarm_response_invalid"),
    MissingCredentialsException: (ValidationException, "credentials_missing"),
    NobodyError: (MissingCredentialsException, "principal_missing"),
    InvalidRequestException: (ValidationException, "request_invalid"),
    InsufficientScopeException: (ValidationException, "scope_insufficient"),
    InsufficientUserAuthenticationException: (ValidationException, "user_authentication_insufficient"),
    NetworkException: (PyIdentityModelException, "network_error"),
    TransportException: (NetworkException, "transport_failed"),
    StoreException: (NetworkException, "store_failed"),
    ConfigError: (ConfigurationException, "config_invalid"),
    RefreshDenied: (NetworkException, "refresh_denied"),
    RefreshCrowded: (RefreshDenied, "refresh_crowded"),
    DiscoveryException: (NetworkException, "discovery_failed"),
    DiscoveryParseError: (DiscoveryException, "discovery_unparsable"),
    DiscoveryMissingFieldsError: (DiscoveryException, "discovery_fields_missing"),
    JwksException: (NetworkException, "jwks_failed"),
    TokenRequestException: (NetworkException, "token_request_failed"),
    UserInfoException: (NetworkException, "userinfo_failed"),
    FrameworkMissingError: (ConfigurationException, "extra_missing"),
    LoginRequired: (PyIdentityModelException, "login_required"),
    StepUpRequired: (PyIdentityModelException, "step_up_required"),
    TokenUnavailable: (NetworkException, "token_unavailable"),
    FailedResponseAccessError: (PyIdentityModelException, "response_failed"),
    SuccessfulResponseAccessError: (PyIdentityModelException, "response_successful"),
}

_ISSUE = ConfigIssue("CFG-001", ("OIDC_AUTHORITY",), "is missing")
#: Positional arguments as published, and the attributes they become.
CONSTRUCTORS: list[tuple[type[PyIdentityModelException], tuple[Any, ...], dict[str, Any]]] = [
    *[
        (cls, ("no", {"n": 1}), {"message": "no", "details": {"n": 1}})
        for cls in (
            *(PyIdentityModelException, ValidationException, ConfigurationException, SignatureVerificationException),
            *(TokenExpiredException, InvalidAudienceException, InvalidIssuerException, CertificateBindingError),
            *(LogoutStateValidationException, AuthorizeCallbackException, JarmValidationException),
            *(UnknownKeyException, TokenNotYetValidException, DPoPValidationException, DiscoveryHTTPSRequiredError),
            *(WorkerDied, FrameworkMissingError),
        )
    ],
    *[
        (cls, ("no", "header", {"n": 1}), {"message": "no", "token_part": "header", "details": {"n": 1}})
        for cls in (TokenValidationException, LogoutTokenValidationException, IdTokenValidationException)
    ],
    *[
        (
            cls,
            ("no", "https://id.example.com", 503, {"n": 1}),
            {"message": "no", "url": "https://id.example.com", "status_code": 503, "details": {"n": 1}},
        )
        for cls in (
            *(NetworkException, DiscoveryException, JwksException, TokenRequestException, UserInfoException),
            *(TransportException, DiscoveryParseError, StoreException, TokenUnavailable),
        )
    ],
    (DiscoveryMissingFieldsError, ("no", ["issuer"]), {"message": "no", "fields": ("issuer",)}),
    (ClaimsValidationError, ("no",), {"message": "no", "reason": "no", "token_part": "payload"}),
    (FailedResponseAccessError, ("token", "down"), {"field_name": "token", "error": "down"}),
    (FailedResponseAccessError, ("token",), {"field_name": "token", "error": None}),
    (SuccessfulResponseAccessError, (), {"field_name": "error"}),
    (InsufficientScopeException, ("no", ("a", "b")), {"scope": ("a", "b")}),
    (InsufficientUserAuthenticationException, ("no", ("gold",), 60), {"acr_values": ("gold",), "max_age": 60}),
    (MissingCredentialsException, ("no",), {"message": "no"}),
    (NobodyError, ("no",), {"message": "no"}),
    (InvalidRequestException, ("no",), {"message": "no"}),
    (RefreshDenied, (3,), {"retry_after": 3}),
    (LoginRequired, ("no", "device_login"), {"message": "no", "verb": "device_login", "needs_new_login": True}),
    (
        StepUpRequired,
        ("no", ("a",), ("gold",), 60, "device_login"),
        {"scope": ("a",), "acr_values": ("gold",), "max_age": 60, "verb": "device_login"},
    ),
    (ConfigError, ([_ISSUE],), {"issues": (_ISSUE,)}),
    (RefreshCrowded, (3,), {"retry_after": 3}),
]


def _subclasses(cls: type) -> set[type]:
    return {cls}.union(*(_subclasses(c) for c in cls.__subclasses__()))


def _public(cls: type) -> bool:
    return cls.__module__.startswith("py_identity_model") and not cls.__name__.startswith("_")


def test_tree_is_complete():
    """The table above lists every public exception of the library, and each has a constructor row."""
    assert {c for c in _subclasses(PyIdentityModelException) if _public(c)} == set(TREE)
    assert {row[0] for row in CONSTRUCTORS} == set(TREE)
    elsewhere = {ConfigError, RefreshCrowded, RefreshDenied, WorkerDied}
    elsewhere |= {FrameworkMissingError, LoginRequired, NobodyError, StepUpRequired, TokenUnavailable}
    assert {c.__name__ for c in set(TREE) - elsewhere} <= set(exceptions.__all__)


@pytest.mark.parametrize("cls", TREE)
def test_tree(cls):
    """Each exception is caught as published code catches it, and has its code."""
    parent, code = TREE[cls]
    public_bases = [base for base in cls.__mro__[1:] if not base.__name__.startswith("_")]
    assert public_bases[0] is parent
    assert cls.code == code


def test_codes_are_unique():
    """No two classes share a code."""
    codes = [cls.code for cls in TREE]
    assert len(codes) == len(set(codes))
    assert all(code == code.lower() and code.replace("_", "").isalpha() for code in codes)


@pytest.mark.parametrize(("cls", "args", "facts"), CONSTRUCTORS)
def test_constructors(cls, args, facts):
    """Each exception takes the published positional arguments and keeps them as attributes."""
    error = cls(*args)
    assert {name: getattr(error, name) for name in facts} == facts
    assert error.code == TREE[cls][1]


@pytest.mark.parametrize(
    ("cls", "part"),
    [
        (SignatureVerificationException, "signature"),
        (TokenExpiredException, "payload"),
        (InvalidAudienceException, "payload"),
        (InvalidIssuerException, "payload"),
        (CertificateBindingError, "payload"),
        (TokenNotYetValidException, "payload"),
    ],
)
def test_token_part(cls, part):
    """Refusals of a token say which part of it is at fault."""
    assert cls("no").token_part == part


@pytest.mark.parametrize(("cls", "args", "facts"), CONSTRUCTORS)
def test_pickle_keeps_all_facts(cls, args, facts):
    """An exception survives pickling and copying with everything it knows."""
    error = cls(*args)
    error.code, error.claim, error.expected, error.actual, error.hint = "special", "exp", 1, 2, "sleep less"
    error.details["n"] = 7
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert (vars(twin), twin.args, str(twin)) == (vars(error), error.args, str(error))


def test_facts():
    """An error carries code, claim, expected, actual and hint, and the hint ends its text."""
    error = TokenExpiredException(
        "Expired", code="exp_past", claim="exp", expected="> 5", actual=3, hint="clocks differ by 2 s"
    )
    assert (error.code, error.claim, error.expected, error.actual) == ("exp_past", "exp", "> 5", 3)
    assert str(error) == "Expired (hint: clocks differ by 2 s)"
    assert error.message == "Expired"
    assert str(TokenExpiredException("Expired")) == "Expired"
    assert TokenExpiredException.code == "token_expired"


def test_unknown_facts_are_refused():
    """A misspelt fact is a TypeError, not a silent loss."""
    with pytest.raises(TypeError):
        TokenExpiredException("Expired", hnit="x")


def test_details_are_the_errors_own():
    """The details are a copy: what happens to the caller's mapping does not change the error."""
    given = {"n": 1}
    error = NetworkException("down", details=given)
    given["n"] = 2
    assert error.details == {"n": 1}
    assert NetworkException("down").details == {}


# ---- what a stranger may know


@pytest.mark.parametrize("cls", [c for c in TREE if not issubclass(c, RefreshDenied)])
def test_client_error_does_not_depend_on_the_cause(cls):
    """Two refusals of a class look the same to the client, whatever their code, claim, hint and message."""
    args = next(row[1] for row in CONSTRUCTORS if row[0] is cls)
    plain, special = cls(*args), cls(*args)
    special.message, special.code, special.claim, special.hint = "s3cr3t", "s3cr3t", "s3cr3t", "s3cr3t"
    special.expected = special.actual = special.details["x"] = "s3cr3t"
    assert plain.client_error == special.client_error
    assert "s3cr3t" not in repr(special.client_error)


def test_refusals_of_tokens_look_alike():
    """Which check a token failed is not told: all of them answer 401 invalid_token in the same words."""
    classes = [c for c in TREE if issubclass(c, TokenValidationException) and c is not DPoPValidationException]
    views = {c("x").client_error for c in classes}
    assert views == {ClientError(401, "invalid_token", "The token is not valid", None)}


@pytest.mark.parametrize("cls", TREE)
def test_unable_is_never_invalid(cls):
    """ "Cannot verify now" and "not valid" are different branches with different statuses; so are our own mistakes."""
    branches = [b for b in (ValidationException, NetworkException, ConfigurationException) if issubclass(cls, b)]
    assert len(branches) <= 1
    args = next(row[1] for row in CONSTRUCTORS if row[0] is cls)
    status = cls(*args).client_error.status
    if cls in (LoginRequired, StepUpRequired):  # what is asked of the user of a client is neither
        assert status in (401, 403)
        return
    expected = {ValidationException: range(400, 404), NetworkException: range(503, 504)}
    assert status in expected.get(branches[0] if branches else None, range(500, 501))


def test_retry_after_reaches_the_client():
    """When the provider is expected back is the one fact a client gets, so that it does not hammer."""
    assert JwksException("down", retry_after=7.5).client_error == ClientError(
        503, "temporarily_unavailable", "The token cannot be verified at the moment", 7.5
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("dpop_proof_invalid", "invalid_dpop_proof"),
        ("dpop_nonce_required", "use_dpop_nonce"),
        ("dpop_nonce_invalid", "use_dpop_nonce"),
        ("dpop_key_mismatch", "invalid_token"),
        ("dpop_token_as_bearer", "invalid_token"),
    ],
)
def test_dpop_errors_follow_the_protocol(code, error):
    """DPoP tells the client what to mend: the proof, its nonce, or the token (RFC 9449 7.1, 9)."""
    view = DPoPValidationException("no", code=code).client_error
    assert (view.status, view.error) == (401, error)


# ---- text of strangers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain text", "plain text"),
        ("größer \u4f60", "größer \u4f60"),
        ("a\nERROR root logged in", "a\\nERROR root logged in"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("abc\u202edcb", "abc\\u202edcb"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028sep\u2029x\x85", "line\\u2028sep\\u2029x\\x85"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        (7, "7"),
        (None, "None"),
        (["a\n"], "['a\\n']"),
        (b"\x1b", "b'\\x1b'"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "..."),
        ("\n" * 300, "\\n" * 200 + "..."),
    ],
)
def test_printable(value, shown):
    """Foreign text becomes one bounded line: no forged log lines, no escape sequences, no turned text (O13)."""
    assert printable(value) == shown
    assert printable(value).isprintable()
    assert printable(value).encode()


def test_printable_limit():
    """The bound can be tighter."""
    assert printable("abcdef", 3) == "abc..."


def test_a_copy_has_neither_traceback_nor_cause_whatever_else_is_registered():
    """What other packages register with copyreg does not put frames and causes into copies of errors."""
    whole = {TransportException: lambda error: (_with_cause, (error.__reduce__(), error.__cause__))}
    error = TransportException("connection lost", url="https://id.example.com")
    error.__cause__ = ValueError("secret")
    kept = dict(copyreg.dispatch_table)
    copyreg.dispatch_table.update(whole)
    try:
        fresh = copy.copy(error)
    finally:
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(kept)
    assert fresh.__cause__ is None
    assert vars(fresh) == vars(error)


def _with_cause(reduced, cause):
    error = reduced[0](*reduced[1])
    error.__cause__ = cause
    return error
