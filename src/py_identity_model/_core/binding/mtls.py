"""Mutual TLS: certificate-bound tokens, endpoint aliases, certificates that a proxy forwards (RFC 8705, RFC 9440)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from ..._arguments import explains_arguments
from ..._refusals import must_be, refused
from ...exceptions import CertificateBindingError, DiscoveryException, PyIdentityModelException
from ..base.base64url import b64url_encode
from ..base.secret import same_text
from ..base.urls import parse_url
from ..discovery.metadata import ALIASES, check_alias
from ..jose.algorithms import KeyRefused
from ..jose.jws import jwk_thumbprint
from ..jose.verification_keys import export_jwk
from .inbound_request import InboundRequest, ProxyPolicy

if TYPE_CHECKING:
    from ..discovery.metadata import DiscoveryDocumentResponse

#: The member of ``cnf`` that binds a token to a certificate (RFC 8705 3.1).
X5T_S256 = "x5t#S256"
#: Characters of a forwarded certificate or chain at most.
MAX_FORWARDED = 65536
_PEM = b"-----BEGIN CERTIFICATE-----"


def load_certificate(cert: str | bytes) -> bytes:
    """Return a certificate as DER; of a PEM chain the first one, which is the client's own.

    Raises:
        CertificateBindingError: It is no certificate; the ``code`` is ``certificate_malformed``.
    """
    if not isinstance(cert, str | bytes | bytearray | memoryview):  # bytes(n) would be n zeros
        raise must_be("cert", "a certificate, PEM or DER", type(cert), code="argument_invalid")
    data = cert.encode("utf-8", "replace") if isinstance(cert, str) else bytes(cert)
    try:
        if isinstance(cert, str) or _PEM in data:
            loaded = x509.load_pem_x509_certificate(data)
        else:
            loaded = x509.load_der_x509_certificate(data)
    except ValueError:
        raise _malformed("a certificate, PEM or DER") from None
    return loaded.public_bytes(Encoding.DER)


def uris_of_certificate(cert: str | bytes) -> tuple[str, ...]:
    """Return the URIs that a certificate names, of a PEM chain those of the first one (RFC 5280 4.2.1.6).

    Raises:
        CertificateBindingError: It is no certificate; the ``code`` is ``certificate_malformed``.
    """
    try:
        names = x509.load_der_x509_certificate(load_certificate(cert)).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return ()
    except (ValueError, x509.DuplicateExtension):
        raise _malformed("a certificate whose extensions can be read") from None
    return tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier))


@explains_arguments
def compute_certificate_thumbprint(cert: str | bytes) -> str:
    """Compute the thumbprint of a certificate, as tokens bound to it name it (``x5t#S256``, RFC 8705 3.1).

    Args:
        cert: The certificate as PEM text, PEM bytes or DER. Of a chain the first one counts.

    Returns:
        The SHA-256 of the DER in base64url.

    Raises:
        CertificateBindingError: It is no certificate; the ``code`` is ``certificate_malformed``.
    """
    return b64url_encode(hashlib.sha256(load_certificate(cert)).digest())


@explains_arguments
def build_certificate_jwk(cert: str | bytes, kid: str | None = None) -> dict[str, Any]:
    """Build the public JWK by which a provider knows a self-signed certificate (RFC 8705 2.2, RFC 7517 4.7).

    Args:
        cert: The certificate as PEM text, PEM bytes or DER. Of a chain the first one counts.
        kid: The key's name in the key set; its thumbprint (RFC 7638) if None.

    Returns:
        The JWK for the client's ``jwks``, with ``x5c`` and ``x5t#S256``; nothing of it is secret.

    Raises:
        CertificateBindingError: It is no certificate, or its key has no JWK; the ``code`` is
            ``certificate_malformed``.

    >>> build_certificate_jwk("no certificate")
    Traceback (most recent call last):
    py_identity_model.exceptions.CertificateBindingError: The client certificate cannot be read
    """
    der = load_certificate(cert)
    try:
        jwk = export_jwk(x509.load_der_x509_certificate(der).public_key())
    except (ValueError, KeyRefused, UnsupportedAlgorithm):
        raise _malformed("a certificate with an RSA, EC or Edwards-curve key") from None
    marks = {"use": "sig", "kid": kid or jwk_thumbprint(jwk), X5T_S256: compute_certificate_thumbprint(der)}
    return {**jwk, **marks, "x5c": [base64.b64encode(der).decode()]}


@explains_arguments
def validate_certificate_binding(claims: Mapping[str, Any], cert: str | bytes) -> None:
    """Refuse a token that is not bound to this certificate (RFC 8705 3).

    Args:
        claims: The token's validated claims.
        cert: The certificate of the TLS connection, PEM or DER.

    Raises:
        CertificateBindingError: It is bound to another (``certificate_mismatch``), to none
            (``certificate_binding_missing``), or *cert* is no certificate (``certificate_malformed``).

    >>> validate_certificate_binding({"sub": "alice"}, b"")
    Traceback (most recent call last):
    py_identity_model.exceptions.CertificateBindingError: The token is not bound to a certificate
    """
    cnf = claims.get("cnf")
    bound = cnf.get(X5T_S256) if isinstance(cnf, Mapping) else None
    if not isinstance(bound, str) or not bound:
        raise CertificateBindingError(
            "The token is not bound to a certificate",
            code="certificate_binding_missing",
            claim=f"cnf.{X5T_S256}",
            expected="a thumbprint",
            actual=type(bound).__name__,
        )
    if not same_text(bound, compute_certificate_thumbprint(cert)):
        raise CertificateBindingError(
            "The token is bound to another certificate than the client's",
            claim=f"cnf.{X5T_S256}",
            expected="the thumbprint of the client's certificate",
            hint="the client must use the certificate with which it asked for the token",
        )


def provider_endpoint(metadata: Mapping[str, Any], name: str, *, mtls: bool = False) -> str | None:
    """Return an endpoint of a provider, its mTLS alias where there is one and *mtls* asks for it (RFC 8705 5).

    Args:
        metadata: The provider's metadata.
        name: The endpoint's member, such as ``token_endpoint``.
        mtls: Whether the client presents a certificate.

    Returns:
        The URL; None if the provider has no such endpoint.

    Raises:
        DiscoveryException: The metadata names something that is no https URL; the ``code`` is ``endpoint_invalid``.

    >>> provider_endpoint({"token_endpoint": "https://id.example/t",
    ...     "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.id.example/t"}}, "token_endpoint", mtls=True)
    'https://mtls.id.example/t'
    """
    aliases = metadata.get("mtls_endpoint_aliases") if mtls else None
    if aliases is not None and not isinstance(aliases, Mapping):
        raise _not_an_endpoint("mtls_endpoint_aliases", "a JSON object")
    url = (aliases or {}).get(name)
    if url is None:
        # RFC 8705 5: what has no alias is used as it is.
        url = metadata.get(name)
    if url is None:
        return None
    try:
        parse_url(url, name)
    except PyIdentityModelException:
        raise _not_an_endpoint(name, "an https URL") from None
    return str(url)


def _not_an_endpoint(name: str, expected: str) -> DiscoveryException:
    return DiscoveryException(
        f"{name} of the provider's metadata must be {expected}", code="endpoint_invalid", claim=name, expected=expected
    )


@explains_arguments
def resolve_mtls_endpoint(disco: DiscoveryDocumentResponse, endpoint: str) -> str | None:
    """Return the endpoint that a client with a certificate must use (RFC 8705 5).

    Args:
        disco: The provider's metadata.
        endpoint: The endpoint's field, such as ``token_endpoint``.

    Returns:
        The alias, or the endpoint itself where it has none; None if the provider has no such endpoint.

    Raises:
        FailedResponseAccessError: The metadata could not be fetched.
        DiscoveryException: The metadata names something that is no https URL.
    """
    aliases = disco.mtls_endpoint_aliases
    check_alias(disco, endpoint)
    # Where there is an alias, what is wrong with the endpoint that it stands for does not matter.
    plain = None if isinstance(aliases, Mapping) and endpoint in aliases else getattr(disco, endpoint, None)
    known = {ALIASES: aliases, endpoint: plain}
    return provider_endpoint(known, endpoint, mtls=True)


@explains_arguments
def client_certificate(request: InboundRequest, proxies: ProxyPolicy | None = None) -> bytes | None:
    """Return the certificate of the client behind a request, as DER.

    It is that of this server's own TLS connection, or what a trusted proxy forwards in ``Client-Cert`` (RFC 9440 2.2).
    From any other peer that header is ignored (RFC 9440 4).

    Args:
        request: The request.
        proxies: Which proxies are trusted; none if it is None.

    Returns:
        The certificate; None if the client presented none.

    Raises:
        CertificateBindingError: The certificate cannot be read; the ``code`` is ``certificate_malformed``.
    """
    if proxies is not None and proxies.trusts(request.peer):
        # Never that of the connection: it would be the proxy's.
        forwarded = _byte_sequences(request.header_values("client-cert"))
        if len(forwarded) > 1:
            raise _malformed("one Client-Cert header")
        return load_certificate(forwarded[0]) if forwarded else None
    return None if request.certificate is None else load_certificate(request.certificate)


def client_certificate_chain(request: InboundRequest, proxies: ProxyPolicy | None = None) -> tuple[bytes, ...]:
    """Return the further certificates that a trusted proxy forwards in ``Client-Cert-Chain``, as DER (RFC 9440 2.3).

    Raises:
        CertificateBindingError: One cannot be read; the ``code`` is ``certificate_malformed``.
    """
    if proxies is None or not proxies.trusts(request.peer):
        return ()
    return tuple(map(load_certificate, _byte_sequences(request.header_values("client-cert-chain"))))


def _byte_sequences(values: Iterable[str]) -> list[bytes]:
    # RFC 8941 3.3.5, 4.2: a list of ":base64:"; one over several header lines is one list.
    text = ",".join(values)
    if not text:
        return []
    if len(text) > MAX_FORWARDED:
        raise _malformed(f"at most {MAX_FORWARDED} characters")
    return [_byte_sequence(item.strip(" \t")) for item in text.split(",")]


def _byte_sequence(item: str) -> bytes:
    if len(item) < 2 or item[0] != ":" or item[-1] != ":":
        raise _malformed("a byte sequence of RFC 8941")
    try:
        return base64.b64decode(item[1:-1].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _malformed("a byte sequence of RFC 8941") from None


_malformed = partial(
    refused, CertificateBindingError, "certificate_malformed", "The client certificate cannot be read", None
)


__all__ = [
    "MAX_FORWARDED",
    "X5T_S256",
    "client_certificate",
    "client_certificate_chain",
    "compute_certificate_thumbprint",
    "load_certificate",
    "provider_endpoint",
    "resolve_mtls_endpoint",
    "uris_of_certificate",
    "validate_certificate_binding",
]
