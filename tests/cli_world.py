"""A provider, a folder of its own for each test, and a call of the command: for the tests of the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from typer.testing import CliRunner

from py_identity_model._core.base.flow import Request
from py_identity_model.cli.app import app
from py_identity_model.testing import Client, EmbeddedProvider


class CliWorld:
    """Calls the command against a provider, with a home of its own."""

    def __init__(self, provider: EmbeddedProvider, home: Path) -> None:
        self.provider, self.home = provider, home
        self.opened: list[str] = []
        self.threads: list[threading.Thread] = []

    def run(self, *args: Any, input: Any = None) -> Any:
        """Call the command; no exception is left over but that of the exit code."""
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        for thread in self.threads:
            thread.join()
        return result

    def tool(self, command: str, *args: Any, input: Any = None) -> Any:
        """Call it as a public client that users log in with."""
        return self.run(command, "--issuer", self.provider.issuer, "--client-id", "tool", *args, input=input)

    def service(self, command: str, *args: Any, input: Any = None) -> Any:
        """Call it as a client with a secret, which a file has."""
        path = self.home / "secret"
        path.write_text(self.provider.client_secret + "\n")
        asked = ["--issuer", self.provider.issuer, "--client-id", self.provider.client_id]
        return self.run(command, *asked, "--client-secret-file", path, *args, input=input)

    def open(self, url: str) -> bool:
        """Be the browser of a user who agrees."""
        self.opened.append(url)
        if "redirect_uri" in url:
            self.threads.append(threading.Thread(target=self._agree, args=(url,)))
            self.threads[-1].start()
        return True

    def _agree(self, url: str) -> None:
        asked = parse_qs(urlsplit(url).query)
        client = self.provider._endpoints.clients["tool"]
        self.provider.add_client(replace(client, redirect_uris=(asked["redirect_uri"][0],)))
        location = self.provider.transport(Request("GET", url)).header("location") or ""
        with httpx2.Client() as browser:
            browser.get(location)


VARIABLES = ("CONFIG", "PROFILE", "ISSUER", "CLIENT_ID", "CLIENT_SECRET", "STORE")


@pytest.fixture(scope="module")
def served() -> Iterator[EmbeddedProvider]:
    """A provider that can be reached, for all tests of a module."""
    provider = EmbeddedProvider(audience="api")
    provider.add_client(Client("tool"))
    with provider.serve():
        yield provider


@pytest.fixture
def world(served: EmbeddedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliWorld:
    """The command, with an empty home, and a user at the browser."""
    for name in VARIABLES:
        monkeypatch.delenv(f"PY_IDENTITY_MODEL_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("py_identity_model.cli._secrets._taken", [])
    made = CliWorld(served, tmp_path)
    monkeypatch.setattr("webbrowser.open", made.open)
    return made
