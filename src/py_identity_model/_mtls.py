"""Certificates on disk, and what tokens say of them (RFC 8705)."""

from __future__ import annotations

import os

from ._arguments import explains_arguments
from ._core.binding.mtls import compute_certificate_thumbprint
from .exceptions import ConfigurationException, printable


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


__all__ = ["certificate_thumbprint_from_file"]
