"""Certificates on disk, and what tokens say of them (RFC 8705)."""

from __future__ import annotations

import os
from functools import lru_cache

from ._arguments import explains_arguments
from ._core.base.flow import ClientCertificate
from ._core.binding.mtls import compute_certificate_thumbprint, uris_of_certificate
from ._tls import Stamp, is_pem, stamps
from .exceptions import CertificateBindingError, ConfigurationException, printable

#: Bytes of a chain's file that are read at most; the client's own certificate comes first.
_MAX_CHAIN = 1024 * 1024


@explains_arguments
def certificate_thumbprint_from_file(path: str) -> str:
    """Compute the thumbprint of a certificate in a file (``x5t#S256``, RFC 8705 3.1).

    Args:
        path: The file, PEM or DER. Of a chain the first certificate counts.

    Returns:
        The SHA-256 of the DER in base64url.

    Raises:
        ConfigurationException: The file cannot be read; the ``code`` is ``certificate_file_unreadable``.
        CertificateBindingError: It holds no certificate.
    """
    if not isinstance(path, str | os.PathLike):  # open() takes a number for a file that is open, and closes it
        raise ConfigurationException(
            "path must be text or a path", code="argument_invalid", claim="path", actual=type(path).__name__
        )
    kind = ""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        data, kind = None, type(error).__name__
    if data is None:
        raise ConfigurationException(
            f"The certificate file {printable(str(path))!r} cannot be read: {kind}",
            code="certificate_file_unreadable",
            claim="path",
            actual=printable(str(path)),
        )
    return compute_certificate_thumbprint(data)


def check_spiffe_id(certificate: ClientCertificate) -> None:
    """Refuse to show an X.509-SVID as another workload's (draft-ietf-oauth-spiffe-client-auth 3.2).

    A file that cannot be read, or holds no certificate, is left to TLS, or to whatever the caller's transport shows.

    Raises:
        ConfigurationException: The certificate names somebody else, nobody, or several (X509-SVID 2).
    """
    if certificate.spiffe_id is None:
        return
    named = _uris(certificate.certificate, stamps(certificate.certificate))
    if named is not None and named != (certificate.spiffe_id,):
        raise ConfigurationException(
            "The certificate is no X.509-SVID of this client: client_id must be the one URI that it names",
            code="svid_mismatch",
            claim="client_id",
            expected=[printable(name) for name in named],
            actual=printable(certificate.spiffe_id),
            hint="does the agent write the SVID of this workload there?",
        )


@lru_cache(maxsize=64)
def _uris(certificate: str, files: tuple[Stamp, ...]) -> tuple[str, ...] | None:
    """Return the URIs that a PEM text, or a file as it is now, names; None if they cannot be read."""
    try:
        return uris_of_certificate(certificate if is_pem(certificate) else _beginning_of(certificate))
    except (OSError, ValueError, CertificateBindingError):
        return None


def _beginning_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAX_CHAIN)


__all__ = ["certificate_thumbprint_from_file", "check_spiffe_id"]
