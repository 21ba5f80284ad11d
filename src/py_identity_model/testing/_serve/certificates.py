"""A certificate for a development server, and the authority that signed it: made at the start, good for a month."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..._core.base.urls import ip_address_of
from ..._refusals import because
from ...exceptions import ConfigurationException

DAYS = 30

_Key = ec.EllipticCurvePrivateKey


def server_context(hosts: Iterable[str], ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the context of a server, and write its authority's certificate to a file.

    Args:
        hosts: Names and addresses that the certificate is for.
        ca_file: Where the authority's certificate goes, for clients to trust; its key is kept nowhere.

    Raises:
        ConfigurationException: The file cannot be written.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    certificate = _certificate(key, authority, authority_key, list(dict.fromkeys(hosts)))
    if ca_file is not None:
        _write(ca_file, authority.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, key, [certificate, authority])
    return context


def _authority(key: _Key) -> x509.Certificate:
    name = _name("py-identity-model test authority")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(name, name, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256())


def _certificate(key: _Key, authority: x509.Certificate, authority_key: _Key, hosts: list[str]) -> x509.Certificate:
    builder = _builder(_name("py-identity-model test provider"), authority.subject, key)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return builder.add_extension(issued_by, critical=False).sign(authority_key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=DAYS))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    address = ip_address_of(host)
    return x509.DNSName(host) if address is None else x509.IPAddress(ipaddress.ip_address(host))


def _load(context: ssl.SSLContext, key: _Key, chain: list[x509.Certificate]) -> None:
    """Load key and chain: the standard library takes them from a file only, which lives as long as it is read."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    handle, name = tempfile.mkstemp(suffix=".pem")  # readable by its owner only
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(private + b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()


def _write(path: Path, pem: bytes) -> None:
    try:
        path.write_bytes(pem)
        return
    except OSError as error:
        reason = type(error).__name__
    what = "The certificate of the authority cannot be written"
    raise because(ConfigurationException, "file_unwritable", what, reason, "ca_file")


__all__ = ["DAYS", "server_context"]
