"""Credentials that a platform keeps in a file and renews: read for each request, never remembered."""

from __future__ import annotations

import os

from ._arguments import checks_arguments
from ._core.base.secret import Secret
from ._refusals import must_be
from .exceptions import ConfigurationException, printable

#: Bytes of such a file at most.
MAX_SECRET_FILE = 65536


class SecretFile:
    """A secret in a file, read anew for each request: a ``client_secret`` or ``client_assertion``.

    Kubernetes projects service account tokens into files and renews them; so do workload identities of clouds.

    Args:
        path: The file: UTF-8 text. White space around the secret does not count.

    Raises:
        ConfigurationException: *path* is no path. When it is read: the file cannot be read
            (``secret_file_unreadable``), is empty, is no text, or is larger than 65536 bytes.

    >>> SecretFile("/var/run/secrets/tokens/provider")
    SecretFile('/var/run/secrets/tokens/provider')
    """

    __slots__ = ("_path",)

    @checks_arguments
    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
            raise must_be("path", "the path of a file", type(path).__name__)
        self._path = os.fspath(path)

    def __call__(self) -> Secret:
        """Return what the file says now.

        Raises:
            ConfigurationException: It says nothing that could be a secret.
        """
        try:
            with open(self._path, "rb") as file:
                data = file.read(MAX_SECRET_FILE + 1)
            text = data.decode().strip()
        except (OSError, ValueError) as error:
            reason = type(error).__name__  # not the error itself: that of a codec holds what it could not decode
        else:
            if text and len(data) <= MAX_SECRET_FILE:
                return Secret(text)
            reason = "it is too large" if text else "it is empty"
        raise ConfigurationException(
            f"The secret in {printable(self._path)!r} cannot be read: {reason}",
            code="secret_file_unreadable",
            claim="path",
            actual=reason,
        )

    def __repr__(self) -> str:
        return f"SecretFile({self._path!r})"


__all__ = ["MAX_SECRET_FILE", "SecretFile"]
