"""The command doctor: what it prints where, and what it exits with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from py_identity_model.cli import app as cli
from py_identity_model.testing import EmbeddedProvider


@pytest.fixture(scope="module")
def provider() -> Iterator[EmbeddedProvider]:
    """A provider that can be reached."""
    provider = EmbeddedProvider(algorithms=["ES256"])
    with provider.serve():
        yield provider


def call(*args: Any, **options: Any) -> Any:
    """Call the command."""
    result = CliRunner().invoke(cli.app, ["doctor", *map(str, args)], **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_good_provider_is_0(provider: EmbeddedProvider) -> None:
    """The table goes to standard output, nothing to standard error, within 80 columns."""
    result = call(provider.issuer)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  pass     issuer " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert call(provider.issuer, "--fail-on", "warn").exit_code == 0


def test_what_failed_is_1_and_is_all_that_brief_shows(provider: EmbeddedProvider) -> None:
    """A fault is told with why, remedy and norm; with --brief nothing else is."""
    with provider.fault("private_key_members"):
        result = call(provider.issuer, "--brief")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[1].startswith("  fail     key_private_members")
    assert [line.split()[0] for line in lines if line.startswith("           ") and line[11] != " "] == [
        "why",
        "mend",
        "see",
    ]


def test_what_is_to_be_looked_at_is_1_where_that_is_said() -> None:
    """With --fail-on warn a warning is enough."""
    plain = {"code_challenge_methods_supported": ["S256", "plain"]}
    with EmbeddedProvider(algorithms=["ES256"], metadata=plain).serve() as running:
        assert call(running.issuer).exit_code == 0
        assert call(running.issuer, "--fail-on", "warn").exit_code == 1


def test_json_has_all_of_it(provider: EmbeddedProvider) -> None:
    """--json writes one line with every finding, each with its link."""
    result = call(provider.issuer, "--json")
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert (found["kind"], found["verdict"], found["url"]) == ("provider", "pass", provider.issuer)
    assert {one["verdict"] for one in found["findings"]} == {"pass", "skipped"}
    assert all(one["link"].startswith("https://") for one in found["findings"])


def test_nothing_there_is_3_and_a_wrong_call_is_2() -> None:
    """Who cannot be reached, and who is no address, are told apart."""
    assert call("http://127.0.0.1:9").exit_code == 3
    for wrong in (["id.example.com"], ["https://id.example.com", "--as", "server"]):
        assert call(*wrong).exit_code == 2
    assert call("https://id.example.com", "--fail-on", "skipped").exit_code == 2


def test_says_what_it_does_beyond_reading(provider: EmbeddedProvider) -> None:
    """--active says on standard error what is tried."""
    result = call(provider.issuer, "--active", "--brief")
    assert result.exit_code == 0
    assert "a client that registers" in result.stderr


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_where_they_are_wanted(provider: EmbeddedProvider, env: dict[str, str], coloured: bool) -> None:
    """Verdicts are words; their colours are left out on request, and where nobody sees them."""
    assert "\x1b" not in call(provider.issuer, env=env).stdout
    assert ("\x1b[32mpass" in call(provider.issuer, env=env, color=True).stdout) is coloured
