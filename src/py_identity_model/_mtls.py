"""Certificates on disk, and what tokens say of them (RFC 8705)."""

from __future__ import annotations

from ._core.binding.mtls import compute_certificate_thumbprint
from .exceptions import ConfigurationException, printable


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
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        raise ConfigurationException(
            f"The certificate file {printable(str(path))!r} cannot be read: {type(error).__name__}",
            code="certificate_file_unreadable",
            claim="path",
            actual=printable(str(path)),
        ) from None
    return compute_certificate_thumbprint(data)


__all__ = ["certificate_thumbprint_from_file"]
