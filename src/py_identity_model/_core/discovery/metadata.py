"""The values of discovery: what is asked, what is demanded, and everything a provider may say about itself.

OpenID Connect Discovery 1.0, RFC 8414, and the members of the IANA registry of authorization server metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from ..._arguments import checks_arguments, explains_arguments
from ..._refusals import must_be
from ...exceptions import (
    ConfigurationException,
    DiscoveryException,
    DiscoveryMissingFieldsError,
    PyIdentityModelException,
)
from ..base.response import GUARDED, BaseRequest, BaseResponse
from ..base.urls import parse_url


class DiscoveryErrorKind(StrEnum):
    """Why discovery failed, in eight words; ``exception.code`` says it precisely."""

    UNEXPECTED_STATUS = "unexpected_status"
    INVALID_JSON = "invalid_json"
    MISSING_FIELDS = "missing_fields"
    HTTPS_REQUIRED = "https_required"
    INVALID_CONFIGURATION = "invalid_configuration"
    INVALID_DOCUMENT = "invalid_document"
    NETWORK_ERROR = "network_error"
    UNEXPECTED_ERROR = "unexpected_error"


#: Code -> kind, where the class of the exception does not say it all.
_KINDS = {
    "https_required": DiscoveryErrorKind.HTTPS_REQUIRED,
    "discovery_endpoint_insecure": DiscoveryErrorKind.HTTPS_REQUIRED,
    "discovery_not_found": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "discovery_status_unexpected": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "redirect_refused": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "redirect_limit": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "redirect_location_missing": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "redirect_location_invalid": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "redirect_insecure": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "redirect_cross_host": DiscoveryErrorKind.UNEXPECTED_STATUS,
    "discovery_content_type_invalid": DiscoveryErrorKind.INVALID_JSON,
    "discovery_json_invalid": DiscoveryErrorKind.INVALID_JSON,
    "discovery_fields_missing": DiscoveryErrorKind.MISSING_FIELDS,
    "discovery_member_invalid": DiscoveryErrorKind.INVALID_DOCUMENT,
    "discovery_issuer_mismatch": DiscoveryErrorKind.INVALID_DOCUMENT,
    "discovery_endpoint_refused": DiscoveryErrorKind.INVALID_DOCUMENT,
    "discovery_endpoint_loopback": DiscoveryErrorKind.INVALID_DOCUMENT,
    "discovery_endpoint_foreign": DiscoveryErrorKind.INVALID_DOCUMENT,
    "response_too_large": DiscoveryErrorKind.INVALID_DOCUMENT,
    "encoding_refused": DiscoveryErrorKind.INVALID_DOCUMENT,
    "discovery_unexpected": DiscoveryErrorKind.UNEXPECTED_ERROR,
}


def error_kind(exception: PyIdentityModelException) -> DiscoveryErrorKind:
    """Return the kind of a failed discovery.

    >>> error_kind(ConfigurationException("no such thing")).name
    'INVALID_CONFIGURATION'
    """
    if exception.code in _KINDS:
        return _KINDS[exception.code]
    if isinstance(exception, ConfigurationException):
        return DiscoveryErrorKind.INVALID_CONFIGURATION
    return DiscoveryErrorKind.NETWORK_ERROR


@dataclass
class DiscoveryPolicy:
    """What a provider's metadata, and the way to it, must be like. The defaults are the strict ones.

    Attributes:
        require_https: Refuse plain http, for the address and for every endpoint.
        allow_http_on_loopback: Take plain http to this very machine all the same.
        validate_issuer: Compare ``issuer`` with the issuer asked for, exactly (RFC 8414 3.3).
        validate_endpoints: Apply the rules about hosts below.
        require_key_set: Demand ``jwks_uri``.
        additional_endpoint_base_addresses: URLs below which endpoints may live beside the issuer's own host. Where any
            are given, endpoints anywhere else are refused.
        authority: The issuer to expect, where it is not the one that the address names.
        allow_loopback_endpoints: Take endpoints on this very machine from a provider that is elsewhere.
        backchannel: Where the provider is reached from here, if not at its public addresses: ``http://keycloak:8080``.
            All that is fetched from the issuer's host is fetched there; plain http needs ``require_https=False``.
        require_public_addresses: Fetch from hosts on the public internet only: by name, by address, by connection.
        require_same_host_endpoints: Demand that every endpoint has the issuer's host and port. Off by default: Google,
            Entra and Cognito have theirs on several hosts.

    Raises:
        ConfigurationException: A value is of the wrong type, empty, or no usable URL.

    >>> DiscoveryPolicy(authority="")
    Traceback (most recent call last):
    py_identity_model.exceptions.ConfigurationException: authority must be an absolute https URL, got ''
    """

    require_https: bool = True
    allow_http_on_loopback: bool = True
    validate_issuer: bool = True
    validate_endpoints: bool = True
    require_key_set: bool = True
    additional_endpoint_base_addresses: list[str] = field(default_factory=list)
    authority: str | None = None
    allow_loopback_endpoints: bool = False
    require_same_host_endpoints: bool = field(default=False, kw_only=True)
    require_public_addresses: bool = field(default=False, kw_only=True)
    backchannel: str | None = field(default=None, kw_only=True)

    @checks_arguments
    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse values that would turn a check off by accident; also after they were changed.

        Raises:
            ConfigurationException: The policy cannot be used safely.
        """
        for f in fields(self):
            if f.type == "bool" and not isinstance(getattr(self, f.name), bool):
                raise must_be(f.name, "True or False", type(getattr(self, f.name)).__name__)
        if not isinstance(self.additional_endpoint_base_addresses, list | tuple):
            raise must_be(
                "additional_endpoint_base_addresses",
                "a list of URLs",
                type(self.additional_endpoint_base_addresses).__name__,
            )
        for base in self.additional_endpoint_base_addresses:
            self.parse_url(base, "additional_endpoint_base_addresses", allow_query=False)
        for name in ("authority", "backchannel"):
            if getattr(self, name) is not None:
                self.parse_url(getattr(self, name), name, allow_query=False)

    @explains_arguments
    def parse_url(self, url: object, what: str, *, allow_query: bool = True) -> str:
        """Return the host of *url*, refusing addresses this policy does not allow."""
        parts = parse_url(
            url,
            what,
            require_https=self.require_https,
            allow_http_on_loopback=self.allow_http_on_loopback,
            allow_query=allow_query,
        )
        return parts.hostname or ""

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """All values, for use as a part of a cache key."""
        values = [getattr(self, f.name) for f in fields(self)]
        return tuple(tuple(v) if isinstance(v, list) else v for v in values)

    def cache_key(self) -> tuple[object, ...]:
        """Return all values, as earlier versions did: equal for policies that judge alike."""
        return self.fingerprint


def with_backchannel(policy: DiscoveryPolicy | None, backchannel: str | None) -> DiscoveryPolicy:
    """Return *policy*, the strict one for None, with this backchannel if there is one.

    Raises:
        ConfigurationException: The backchannel is no URL that the policy allows.
    """
    policy = DiscoveryPolicy() if policy is None else policy
    return policy if backchannel is None else replace(policy, backchannel=backchannel)


@dataclass(frozen=True)
class DiscoveryEndpoint:
    """Where metadata is, and whose it is.

    Attributes:
        url: The address of the document.
        authority: Scheme, host and port of the address.
        issuer: The issuer it must name.
    """

    url: str
    authority: str
    issuer: str = field(default="", kw_only=True)


@dataclass(repr=False)
class DiscoveryDocumentRequest(BaseRequest):
    """A request for a provider's metadata.

    Attributes:
        address: The issuer, or the full ``/.well-known/...`` URL.
        policy: What the metadata must be like; the strict defaults if None.
    """

    policy: DiscoveryPolicy | None = None


@dataclass(frozen=True, slots=True)
class MemberFault:
    """What is wrong with a member of metadata that nothing has used yet.

    Attributes:
        code: The stable name of the fault.
        message: What is wrong, with the member and the address of the document.
    """

    code: str
    message: str
    kind: type[DiscoveryException] = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)

    @classmethod
    @explains_arguments
    def of(cls, error: DiscoveryException) -> MemberFault:
        """Keep what *error* says, without the error itself: each use of the member raises one of its own."""
        names = ("url", "status_code", "claim", "expected", "actual", "hint")
        return cls(error.code, error.message, type(error), {name: getattr(error, name) for name in names})

    def error(self) -> DiscoveryException:
        """Return the exception for a use of the member."""
        return self.kind(self.message, code=self.code, **self.facts)


@dataclass(repr=False)
class DiscoveryDocumentResponse(BaseResponse):
    """A provider's metadata (OpenID Connect Discovery 3, RFC 8414 2), members named as in the document.

    A member is judged when it is used: reading one of the wrong type, or an address that must not be used, raises
    :class:`DiscoveryException` and names it. Nobody else is kept from the others. An alias in ``mtls_endpoint_aliases``
    that must not be used is left out there, and using it raises (``faults`` has it by its name, such as
    ``mtls_endpoint_aliases.token_endpoint``). ``issuer``, and ``jwks_uri`` where a
    key set is required, are judged at once.

    Members without a field of their own, and those with one, are in ``raw`` as they came. ``signed_metadata`` is the
    text of the JWT; nobody has verified it.

    Attributes:
        cache_control: The ``Cache-Control`` header of the reply.
        metadata_url: Where the document was found.
        error_kind: Why discovery failed, if it did.
        missing_fields: Required members that the document lacks.
        raw: The whole document.
        faults: What is wrong with members that cannot be used, by their names.
    """

    issuer: str = GUARDED
    jwks_uri: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    response_types_supported: list[str] | None = None
    subject_types_supported: list[str] | None = None
    id_token_signing_alg_values_supported: list[str] | None = None
    userinfo_endpoint: str | None = None
    registration_endpoint: str | None = None
    introspection_endpoint: str | None = None
    scopes_supported: list[str] | None = None
    response_modes_supported: list[str] | None = None
    grant_types_supported: list[str] | None = None
    acr_values_supported: list[str] | None = None
    id_token_encryption_alg_values_supported: list[str] | None = None
    id_token_encryption_enc_values_supported: list[str] | None = None
    userinfo_signing_alg_values_supported: list[str] | None = None
    userinfo_encryption_alg_values_supported: list[str] | None = None
    userinfo_encryption_enc_values_supported: list[str] | None = None
    request_object_signing_alg_values_supported: list[str] | None = None
    request_object_encryption_alg_values_supported: list[str] | None = None
    request_object_encryption_enc_values_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    token_endpoint_auth_signing_alg_values_supported: list[str] | None = None
    display_values_supported: list[str] | None = None
    claim_types_supported: list[str] | None = None
    claims_supported: list[str] | None = None
    claims_locales_supported: list[str] | None = None
    ui_locales_supported: list[str] | None = None
    code_challenge_methods_supported: list[str] | None = None
    pushed_authorization_request_endpoint: str | None = None
    require_pushed_authorization_requests: bool | None = None
    claims_parameter_supported: bool | None = None
    request_parameter_supported: bool | None = None
    request_uri_parameter_supported: bool | None = None
    require_request_uri_registration: bool | None = None
    authorization_response_iss_parameter_supported: bool | None = None
    authorization_signing_alg_values_supported: list[str] | None = None
    authorization_encryption_alg_values_supported: list[str] | None = None
    authorization_encryption_enc_values_supported: list[str] | None = None
    mtls_endpoint_aliases: dict[str, str] | None = None
    tls_client_certificate_bound_access_tokens: bool | None = None
    end_session_endpoint: str | None = None
    backchannel_logout_supported: bool | None = None
    backchannel_logout_session_supported: bool | None = None
    service_documentation: str | None = None
    op_policy_uri: str | None = None
    op_tos_uri: str | None = None
    cache_control: str | None = None
    # Beyond the published fields.
    error_kind: DiscoveryErrorKind | None = field(default=None, kw_only=True)
    missing_fields: tuple[str, ...] = field(default=(), kw_only=True)
    metadata_url: str | None = field(default=None, kw_only=True)
    revocation_endpoint: str | None = field(default=None, kw_only=True)
    revocation_endpoint_auth_methods_supported: list[str] | None = field(default=None, kw_only=True)
    revocation_endpoint_auth_signing_alg_values_supported: list[str] | None = field(default=None, kw_only=True)
    introspection_endpoint_auth_methods_supported: list[str] | None = field(default=None, kw_only=True)
    introspection_endpoint_auth_signing_alg_values_supported: list[str] | None = field(default=None, kw_only=True)
    introspection_signing_alg_values_supported: list[str] | None = field(default=None, kw_only=True)
    introspection_encryption_alg_values_supported: list[str] | None = field(default=None, kw_only=True)
    introspection_encryption_enc_values_supported: list[str] | None = field(default=None, kw_only=True)
    device_authorization_endpoint: str | None = field(default=None, kw_only=True)
    backchannel_authentication_endpoint: str | None = field(default=None, kw_only=True)
    backchannel_token_delivery_modes_supported: list[str] | None = field(default=None, kw_only=True)
    backchannel_authentication_request_signing_alg_values_supported: list[str] | None = field(
        default=None, kw_only=True
    )
    backchannel_user_code_parameter_supported: bool | None = field(default=None, kw_only=True)
    dpop_signing_alg_values_supported: list[str] | None = field(default=None, kw_only=True)
    require_signed_request_object: bool | None = field(default=None, kw_only=True)
    check_session_iframe: str | None = field(default=None, kw_only=True)
    frontchannel_logout_supported: bool | None = field(default=None, kw_only=True)
    frontchannel_logout_session_supported: bool | None = field(default=None, kw_only=True)
    authorization_details_types_supported: list[str] | None = field(default=None, kw_only=True)
    prompt_values_supported: list[str] | None = field(default=None, kw_only=True)
    client_id_metadata_document_supported: bool | None = field(default=None, kw_only=True)
    protected_resources: list[str] | None = field(default=None, kw_only=True)
    signed_metadata: str | None = field(default=None, kw_only=True)
    raw: dict[str, Any] = field(default_factory=dict, kw_only=True, repr=False)
    faults: Mapping[str, MemberFault] = field(default_factory=dict, kw_only=True, repr=False, compare=False)

    _guarded: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @explains_arguments
    def failed(
        cls, exception: PyIdentityModelException, **facts: object
    ) -> DiscoveryDocumentResponse:  # also tells the kind and what is missing
        """Return the response that tells of *exception*."""
        missing = exception.fields if isinstance(exception, DiscoveryMissingFieldsError) else ()
        return super().failed(exception, error_kind=error_kind(exception), missing_fields=missing, **facts)

    if not TYPE_CHECKING:  # or a type checker would take any name for an attribute

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if value is None and name in MEMBERS:
                fault = object.__getattribute__(self, "faults").get(name)
                if fault is not None:
                    raise fault.error()
            return value

    def __repr__(self) -> str:
        values = {f.name: object.__getattribute__(self, f.name) for f in fields(self) if f.repr}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value not in (None, ()))
        return f"{type(self).__qualname__}({shown})"


_OURS = {"cache_control", "error_kind", "missing_fields", "metadata_url", "raw", "faults"} | {
    f.name for f in fields(BaseResponse)
}

#: Every member with a field of its own -> the type of that field, where it is there.
MEMBERS: Mapping[str, str] = {
    f.name: str(f.type).removesuffix(" | None") for f in fields(DiscoveryDocumentResponse) if f.name not in _OURS
}
#: The members to which, or from which, requests go.
ENDPOINTS = tuple(n for n in MEMBERS if n.endswith("_endpoint") or n in ("jwks_uri", "check_session_iframe"))

#: The member whose values are judged one by one.
ALIASES = "mtls_endpoint_aliases"


def alias_place(endpoint: str) -> str:
    """Return what the alias of an endpoint is called in faults."""
    return f"{ALIASES}.{endpoint}"


def check_alias(document: DiscoveryDocumentResponse, endpoint: str) -> None:
    """Refuse to use an endpoint whose alias for clients with a certificate must not be used (RFC 8705 5).

    Raises:
        DiscoveryException: It is such a one; the endpoint itself does not stand in for its alias.
    """
    fault = (getattr(document, "faults", None) or {}).get(alias_place(endpoint))
    if fault is not None:
        raise fault.error()


DiscoveryDocumentResponse._guarded = frozenset(MEMBERS) | {"raw", "faults"}

__all__ = [
    "ALIASES",
    "ENDPOINTS",
    "MEMBERS",
    "DiscoveryDocumentRequest",
    "DiscoveryDocumentResponse",
    "DiscoveryEndpoint",
    "DiscoveryErrorKind",
    "DiscoveryPolicy",
    "MemberFault",
    "alias_place",
    "check_alias",
    "error_kind",
    "with_backchannel",
]
