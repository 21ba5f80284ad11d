"""The programs of ``examples/`` that no server runs, each run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2

from py_identity_model.testing import Client, EmbeddedProvider

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_a_command_line_tool_logs_in_once(tmp_path: Path) -> None:
    """The first run shows the page and waits for the browser; later ones have the login, and ask nobody."""
    provider = EmbeddedProvider()
    provider.add_client(Client("my-tool"))
    with provider.serve():
        command = [sys.executable, "-W", "error", str(EXAMPLES / "cli" / "whoami.py"), "--no-browser"]
        told = {**os.environ, "HOME": str(tmp_path), "ISSUER": provider.issuer, "CLIENT_ID": "my-tool"}
        first = subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert first.stderr is not None
        page = first.stderr.readline().split()[-1]
        back = parse_qs(urlsplit(page).query)["redirect_uri"][0]
        provider.add_client(replace(Client("my-tool"), redirect_uris=(back,)))
        with httpx2.Client(follow_redirects=True) as browser:
            assert "You may close this window" in browser.get(page).text
        out, err = first.communicate(timeout=60)
        assert (out, err, first.returncode) == ("alice\n", "", 0)
        again = subprocess.run(command, env=told, capture_output=True, text=True, timeout=60, check=False)
        assert (again.stdout, again.stderr) == ("alice\n", "")
    assert provider.count("authorize") == 1
    assert len((EXAMPLES / "cli" / "whoami.py").read_text(encoding="utf-8").splitlines()) <= 17
