"""TLS contexts for both doors: TLS 1.2 or newer, always verifying, built once per set of files (RFC 9325, RFC 8705)."""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from .exceptions import ConfigurationException, printable

#: Files behind a context: path, time of last change, size. A changed file makes a new context.
Stamp = tuple[str, int, int] | None


_BUNDLES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


class _EnvironmentTrust:
    """Tells which certificate authorities the environment wants trusted, in the shape of a cached function."""

    def __call__(self) -> str | bool:
        """Return the path of the CA bundle to trust, or True for the system's trust store.

        ``SSL_CERT_FILE`` goes before ``CURL_CA_BUNDLE``, that before ``REQUESTS_CA_BUNDLE``. Nothing can disable it.

        >>> bool(get_ssl_verify())
        True
        """
        return next((value for name in _BUNDLES if (value := os.environ.get(name, "").strip())), True)

    def cache_clear(self) -> None:
        """Do nothing: the environment is read at each call. Earlier versions remembered what they had read first."""


get_ssl_verify: _EnvironmentTrust = _EnvironmentTrust()


def tls_context(
    verify: bool | str | None = None,
    certificate: str | None = None,
    private_key: str | None = None,
    password: str | None = None,
    ciphers: str | None = None,
) -> ssl.SSLContext:
    """Return the context for a CA bundle and a client certificate, from the cache if it was built before.

    Args:
        verify: Path of a CA bundle (file or directory), True for the system's trust store, None for what the
            environment says.
        certificate: A client certificate chain: PEM text or a path.
        private_key: Its key: PEM text or a path.
        password: The password of an encrypted key.
        ciphers: The cipher suites of TLS 1.2, as OpenSSL lists them; None for Python's own choice.

    Raises:
        ConfigurationException: A file or a PEM text cannot be used.
    """
    trust = get_ssl_verify() if verify is None else verify
    cafile = trust if isinstance(trust, str) else None
    files = tuple(_stamp(path) for path in (cafile, certificate, private_key))
    return _context(cafile, certificate, private_key, password, files, ciphers)


def stamps(*paths: str | None) -> tuple[Stamp, ...]:
    """Return what tells whether the files behind *paths* have changed."""
    return tuple(_stamp(path) for path in paths)


def is_pem(text: str) -> bool:
    """Tell PEM text from a path."""
    return "-----BEGIN" in text


def _stamp(path: str | None) -> Stamp:
    if path is None or is_pem(path):
        return None
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return path, facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=64)
def _context(
    cafile: str | None,
    certificate: str | None,
    private_key: str | None,
    password: str | None,
    files: tuple[Stamp, ...],  # part of the key only
    ciphers: str | None = None,
) -> ssl.SSLContext:
    context = _trusting(cafile)
    context.hostname_checks_common_name = False  # RFC 9525 2: names stand in subjectAltName, and nowhere else
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)  # RFC 9325 3.1.1
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if certificate is not None:
        _load_certificate(context, certificate, private_key, password)
    return context


def _trusting(cafile: str | None) -> ssl.SSLContext:
    if cafile is None:
        return _system_trust()
    try:
        if os.path.isdir(cafile):
            return ssl.create_default_context(capath=cafile)
        return ssl.create_default_context(cafile=cafile)
    except (OSError, ValueError) as error:  # of a codec, it holds the text: nothing is raised in its context
        reason = type(error).__name__
    raise ConfigurationException(
        f"The CA bundle {printable(cafile)!r} cannot be used: {reason}",
        code="ca_bundle_invalid",
        claim="verify",
        expected="a PEM file or a directory of certificates",
        actual=printable(cafile),
    )


def _system_trust() -> ssl.SSLContext:
    if sys.platform in ("darwin", "win32"):
        import truststore  # comes with httpx2; there Python's own default misses what the system trusts

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()


def _load_certificate(context: ssl.SSLContext, certificate: str, private_key: str | None, password: str | None) -> None:
    try:
        with _as_file(certificate) as chain, _as_file(private_key) as key:
            # A function, so that a missing password is an error and never a prompt on the terminal.
            context.load_cert_chain(chain or "", key, password=lambda: password or "")
            return
    except (OSError, ValueError, TypeError) as error:  # of a codec, it holds the key or the password
        reason = printable(getattr(error, "reason", None) or type(error).__name__)
    raise ConfigurationException(
        f"The client certificate or its key cannot be used: {reason}",
        code="client_certificate_invalid",
        claim="certificate",
        expected="a PEM certificate chain and the private key that fits it",
        actual=reason,
    )


@contextmanager
def _as_file(pem: str | None) -> Iterator[str | None]:
    """Lend a path for *pem*: OpenSSL reads files only. On Linux the text stays in memory."""
    if pem is None or not is_pem(pem):
        yield pem
    elif sys.platform == "linux":
        descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem.encode())
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.TemporaryDirectory() as folder:  # a directory only its owner may enter
            path = os.path.join(folder, "pem")
            with open(path, "w", encoding="ascii") as file:
                file.write(pem)
            yield path


__all__ = ["get_ssl_verify", "is_pem", "stamps", "tls_context"]
