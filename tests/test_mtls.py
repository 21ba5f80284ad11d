"""Mutual TLS: thumbprints, bound tokens, endpoint aliases, forwarded certificates (RFC 8705, RFC 9440)."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from py_identity_model._core.binding.inbound_request import InboundRequest, ProxyPolicy
from py_identity_model._core.binding.mtls import (
    build_certificate_jwk,
    client_certificate,
    client_certificate_chain,
    compute_certificate_thumbprint,
    provider_endpoint,
    resolve_mtls_endpoint,
    validate_certificate_binding,
)
from py_identity_model._core.jose.jws import jwk_thumbprint
from py_identity_model._mtls import certificate_thumbprint_from_file
from py_identity_model.exceptions import CertificateBindingError, ConfigurationException, DiscoveryException

#: RFC 8705 Appendix A.
RFC_PEM = """-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----
"""
RFC_THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
RFC_DER = x509.load_pem_x509_certificate(RFC_PEM.encode()).public_bytes(Encoding.DER)
BOUND = {"sub": "ty", "cnf": {"x5t#S256": RFC_THUMBPRINT}}
OTHER_PEM = trustme.CA().issue_cert("client.example").cert_chain_pems[0].bytes()
PROXIES = ProxyPolicy(trusted_proxies=("10.0.0.1",))


def forwarded(der):
    return ":" + base64.b64encode(der).decode() + ":"


def request(*headers, peer="10.0.0.1", certificate=None):
    return InboundRequest("GET", "https://api.example.com/", headers, peer=peer, certificate=certificate)


@pytest.mark.parametrize("cert", [RFC_PEM, RFC_PEM.encode(), RFC_DER, "text before\n" + RFC_PEM])
def test_rfc8705_thumbprint(cert):
    """PEM text, PEM bytes and DER have the thumbprint of RFC 8705 Appendix A."""
    assert compute_certificate_thumbprint(cert) == RFC_THUMBPRINT


def test_a_self_signed_certificate_is_registered_by_its_jwk():
    """RFC 8705 2.2: a provider knows it by a JWK with the certificate in x5c, its thumbprint and its key."""
    for cert in (RFC_PEM, RFC_PEM.encode(), RFC_DER):
        jwk = build_certificate_jwk(cert)
        assert base64.b64decode(jwk["x5c"][0]) == RFC_DER
        assert (jwk["x5t#S256"], jwk["use"], jwk["kty"], jwk["crv"]) == (RFC_THUMBPRINT, "sig", "EC", "P-256")
        assert jwk["kid"] == jwk_thumbprint(jwk)
        assert "d" not in jwk
    assert build_certificate_jwk(RFC_PEM, "mtls-1")["kid"] == "mtls-1"
    assert build_certificate_jwk(OTHER_PEM)["kty"] in ("RSA", "EC")
    for bad in ("", b"", "no certificate", RFC_DER[:-9]):
        with pytest.raises(CertificateBindingError) as error:
            build_certificate_jwk(bad)
        assert error.value.code == "certificate_malformed"


def test_first_of_a_chain():
    """Of a chain the first certificate counts, which is the client's."""
    assert compute_certificate_thumbprint(RFC_PEM + OTHER_PEM.decode()) == RFC_THUMBPRINT
    assert compute_certificate_thumbprint(OTHER_PEM + RFC_PEM.encode()) != RFC_THUMBPRINT


@pytest.mark.parametrize(
    "cert", ["", b"", "garbage", RFC_PEM[:200], RFC_DER[:-1], RFC_DER + b"x", "-----BEGIN CERTI\ud800"]
)
def test_no_certificate(cert):
    """What is no certificate is refused with our own error."""
    with pytest.raises(CertificateBindingError) as refused:
        compute_certificate_thumbprint(cert)
    assert refused.value.code == "certificate_malformed"
    assert refused.value.__suppress_context__


def test_thumbprint_from_file(tmp_path):
    """A file may hold PEM or DER; one that cannot be read is a configuration error with its name."""
    for name, data in (("a.pem", RFC_PEM.encode()), ("a.der", RFC_DER)):
        (tmp_path / name).write_bytes(data)
        assert certificate_thumbprint_from_file(str(tmp_path / name)) == RFC_THUMBPRINT
    for path in (str(tmp_path / "absent"), str(tmp_path), "a\0b"):
        with pytest.raises(ConfigurationException) as refused:
            certificate_thumbprint_from_file(path)
        assert refused.value.code == "certificate_file_unreadable"


def test_bound_token():
    """[F33] [S26] A token is accepted with the certificate it is bound to and refused with another."""
    validate_certificate_binding(BOUND, RFC_PEM)
    with pytest.raises(CertificateBindingError) as refused:
        validate_certificate_binding(BOUND, OTHER_PEM)
    assert refused.value.code == "certificate_mismatch"
    assert refused.value.client_error.error == "invalid_token"


@pytest.mark.parametrize("cnf", [None, {}, "x5t#S256", {"x5t#S256": ""}, {"x5t#S256": 1}, {"x5t": RFC_THUMBPRINT}, []])
def test_unbound_token(cnf):
    """[F33] A token that is bound to no certificate is refused, whatever stands in its place."""
    for claims in ({"cnf": cnf}, {}):
        with pytest.raises(CertificateBindingError) as refused:
            validate_certificate_binding(claims, RFC_PEM)
        assert refused.value.code == "certificate_binding_missing"


@pytest.mark.parametrize("thumbprint", ["\ud800", "é", RFC_THUMBPRINT + "=", RFC_THUMBPRINT.lower(), "x" * 100_000])
def test_odd_thumbprints(thumbprint):
    """[F33] A thumbprint of any text is compared, to the letter."""
    with pytest.raises(CertificateBindingError):
        validate_certificate_binding({"cnf": {"x5t#S256": thumbprint}}, RFC_PEM)


METADATA = {
    "token_endpoint": "https://id.example/token",
    "revocation_endpoint": "https://id.example/revoke",
    "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.id.example/token"},
}


def test_endpoint_aliases():
    """[F7] [F14] A client with a certificate uses the alias, where there is one; another never does."""
    assert provider_endpoint(METADATA, "token_endpoint", mtls=True) == "https://mtls.id.example/token"
    assert provider_endpoint(METADATA, "token_endpoint") == "https://id.example/token"
    assert provider_endpoint(METADATA, "revocation_endpoint", mtls=True) == "https://id.example/revoke"
    assert provider_endpoint(METADATA, "userinfo_endpoint", mtls=True) is None


@pytest.mark.parametrize(
    "aliases",
    ["https://x", [], {"token_endpoint": 1}, {"token_endpoint": "http://mtls.id.example/"}, {"token_endpoint": ""}],
)
def test_unusable_aliases(aliases):
    """[F1] [F14] An unusable alias is refused, and the client does not fall back to the other endpoint."""
    with pytest.raises(DiscoveryException) as refused:
        provider_endpoint({**METADATA, "mtls_endpoint_aliases": aliases}, "token_endpoint", mtls=True)
    assert refused.value.code == "endpoint_invalid"


def test_published_endpoint_resolution():
    """[F7] The published function reads the alias out of a discovery response."""
    disco = SimpleNamespace(**METADATA)
    assert resolve_mtls_endpoint(disco, "token_endpoint") == "https://mtls.id.example/token"
    assert resolve_mtls_endpoint(disco, "revocation_endpoint") == "https://id.example/revoke"
    assert resolve_mtls_endpoint(disco, "unheard_of_endpoint") is None
    assert resolve_mtls_endpoint(SimpleNamespace(**{**METADATA, "mtls_endpoint_aliases": None}), "token_endpoint") == (
        "https://id.example/token"
    )


def test_certificate_of_the_connection():
    """[S29] Without a proxy the certificate of the TLS connection counts, and a header is ignored."""
    header = ("Client-Cert", forwarded(x509.load_pem_x509_certificate(OTHER_PEM).public_bytes(Encoding.DER)))
    assert client_certificate(request(header, certificate=RFC_PEM)) == RFC_DER
    assert client_certificate(request(header, certificate=RFC_DER, peer="192.0.2.1"), PROXIES) == RFC_DER
    assert client_certificate(request(header)) is None
    assert client_certificate(request(header, peer="192.0.2.1"), PROXIES) is None


def test_forwarded_certificate():
    """[S29] A trusted proxy's header counts, and the proxy's own certificate never does."""
    assert client_certificate(request(("client-cert", forwarded(RFC_DER))), PROXIES) == RFC_DER
    assert client_certificate(request(certificate=OTHER_PEM), PROXIES) is None


@pytest.mark.parametrize(
    "value",
    [
        "x",
        ":",
        "::x",
        ":%%%:",
        ":é:",
        forwarded(RFC_DER)[1:],
        forwarded(RFC_DER)[:-1],
        forwarded(RFC_DER[:-1]),
        f"{forwarded(RFC_DER)}, {forwarded(RFC_DER)}",
        ":" + "A" * 70_000 + ":",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_malformed_header(value):
    """[S29] A header that is no single byte sequence with a certificate is refused, not taken for none."""
    with pytest.raises(CertificateBindingError) as refused:
        client_certificate(request(("Client-Cert", value)), PROXIES)
    assert refused.value.code == "certificate_malformed"


def test_two_headers():
    """[S29] Two Client-Cert headers are refused."""
    header = ("Client-Cert", forwarded(RFC_DER))
    with pytest.raises(CertificateBindingError):
        client_certificate(request(header, header), PROXIES)


def test_forwarded_chain():
    """[S29] The chain of a trusted proxy is a list, over several headers too; any other peer's is ignored."""
    other = x509.load_pem_x509_certificate(OTHER_PEM).public_bytes(Encoding.DER)
    headers = [
        ("Client-Cert-Chain", f"{forwarded(RFC_DER)}, {forwarded(other)}"),
        ("Client-Cert-Chain", forwarded(other)),
    ]
    assert client_certificate_chain(request(*headers), PROXIES) == (RFC_DER, other, other)
    assert client_certificate_chain(request(*headers, peer="192.0.2.1"), PROXIES) == ()
    assert client_certificate_chain(request(*headers)) == ()
