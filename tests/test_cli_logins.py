"""The command line: tokens, logins, and what is kept of them."""

from __future__ import annotations

import json
import stat
import webbrowser
from typing import Any
from urllib.parse import parse_qs

import pytest

from cli_world import CliWorld, served, world
from py_identity_model import AccessToken, ConfigurationException
from py_identity_model.cli._tokens import show_token

__all__ = ["served", "world"]  # fixtures


# ---- the client's own tokens


def test_a_client_asks_in_its_own_name(world: CliWorld) -> None:
    """token prints the token alone, and what is known about it on standard error."""
    result = world.service("token", "--scope", "orders")
    claims = world.provider.claims_of(result.stdout.strip())
    assert claims["client_id"] == world.provider.client_id
    assert result.stderr == "Bearer token, scope orders, expires in 300 s\n"
    assert result.exit_code == 0


def test_a_token_for_curl(world: CliWorld) -> None:
    """--header makes it the line that curl -H takes; --json says all of it."""
    line = world.service("token", "--header").stdout
    assert line.startswith("Authorization: Bearer ey")
    assert line.count("\n") == 1
    told = json.loads(world.service("token", "--json", "--scope", "a b", "--scope", "c").stdout)
    assert told["token_type"] == "Bearer"
    assert told["scope"] == "a b c"


def test_a_bound_token_is_no_header_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A token that is sent with a proof cannot be sent by curl: --header says so, and prints nothing."""
    with pytest.raises(ConfigurationException, match="DPoP"):
        show_token(AccessToken("a-token", "DPoP"), header=True, as_json=False)
    assert "a-token" not in capsys.readouterr().out


@pytest.mark.parametrize("way", ["stdin", "environment"])
def test_a_secret_is_never_an_argument(world: CliWorld, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The secret comes through standard input or the environment as well; it shows nowhere."""
    secret = world.provider.client_secret
    asked = ["token", "--issuer", world.provider.issuer, "--client-id", world.provider.client_id]
    if way == "stdin":
        result = world.run(*asked, "--client-secret-file", "-", input=secret + "\n")
    else:
        monkeypatch.setenv("PY_IDENTITY_MODEL_CLIENT_SECRET", secret)
        result = world.run(*asked)
    assert result.exit_code == 0, result.stderr
    assert secret not in result.stdout + result.stderr


def test_a_refusal_of_the_provider_exits_with_1(world: CliWorld) -> None:
    """That the provider knows no such client is a refusal, in its words, and without the secret."""
    result = world.run(
        *("token", "--issuer", world.provider.issuer, "--client-id", world.provider.client_id),
        *("--client-secret-file", "-", "--json"),
        input="not-the-secret",
    )
    assert json.loads(result.stdout)["code"] == "request_refused"
    assert "not-the-secret" not in result.stdout + result.stderr
    assert result.exit_code == 1


def test_what_is_missing_is_named_as_it_is_given(world: CliWorld) -> None:
    """An issuer or a client that is missing is answered with the three places to say it."""
    for name, args in (("issuer", ()), ("client_id", ("--issuer", "https://id.example.com"))):
        result = world.run("token", *args, "--json")
        told = json.loads(result.stdout)
        assert told["code"] == "parameter_missing"
        assert f"--{name.replace('_', '-')}" in told["hint"]
        assert f"PY_IDENTITY_MODEL_{name.upper()}" in told["hint"]
        assert result.exit_code == 2


@pytest.mark.parametrize("grant", ["implicit", ""])
def test_an_unknown_grant_is_answered_with_those_there_are(world: CliWorld, grant: str) -> None:
    """--grant says what it can be."""
    result = world.service("token", "--grant", grant)
    assert "client-credentials" in result.stderr
    assert result.exit_code == 2


# ---- logins


def test_a_login_is_kept_for_the_next_call(world: CliWorld) -> None:
    """login opens the browser and keeps the tokens in a file for its owner; token renews them; userinfo asks."""
    result = world.tool("login", "--scope", "openid orders")
    assert "logged in as alice" in result.stderr
    assert result.stdout == ""
    assert result.exit_code == 0
    kept = world.home / "state" / "py-identity-model" / "logins.db"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    before = world.provider.count("token")
    token = world.tool("token").stdout.strip()
    assert world.provider.claims_of(token)["sub"] == "alice"
    assert world.provider.count("token") == before
    assert world.tool("token", "--grant", "refresh").stdout.strip() != token
    assert world.provider.count("token") == before + 1
    assert json.loads(world.tool("userinfo").stdout)["sub"] == "alice"


def test_a_login_can_be_for_one_script(world: CliWorld) -> None:
    """login --print-token prints a token of the login there is, without a browser."""
    assert world.tool("login").exit_code == 0
    seen = len(world.opened)
    result = world.tool("login", "--header")
    assert result.stdout.startswith("Authorization: Bearer ")
    assert len(world.opened) == seen


def test_without_a_login_a_script_is_told_what_to_run(world: CliWorld) -> None:
    """Where nobody can be asked, --print-token opens no browser; the hint is a command, and the exit code 1."""
    for args in (["login", "--print-token"], ["token"], ["userinfo"]):
        result = world.tool(*args)
        assert "hint: run py-identity-model login" in result.stderr, args
        assert result.exit_code == 1
    assert world.opened == []


def test_a_page_is_shown_where_there_is_no_browser(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """--no-browser says which page to open."""

    def read(text: str, **options: Any) -> None:
        if "open this page" in text:
            world.open(text.rpartition(" ")[2])

    monkeypatch.setattr("py_identity_model.cli.login.say", read)
    assert world.tool("login", "--no-browser").exit_code == 0


@pytest.mark.parametrize("command", [["login", "--device"], ["token", "--grant", "device"]])
def test_a_user_approves_on_another_device(
    world: CliWorld, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """The address and the code are shown; login keeps what comes, token prints it."""

    def read(text: str) -> None:
        if "enter" in text:
            world.provider.approve_device(text.rpartition(" ")[2], subject="bob")

    monkeypatch.setattr("py_identity_model.cli._tokens.say", read)
    monkeypatch.setattr("py_identity_model.sync._driver.time.sleep", lambda seconds: None)
    result = world.tool(*command, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    if command[0] == "login":
        assert told["sub"] == "bob"
    else:
        assert world.provider.claims_of(told["access_token"])["sub"] == "bob"
        assert world.tool("userinfo").exit_code == 1  # nothing was kept


def test_a_logout_revokes(world: CliWorld) -> None:
    """logout revokes the refresh token at the provider and forgets the login; twice is once."""
    world.tool("login")
    before = world.provider.count("revoke")
    result = world.tool("logout", "--browser")
    assert result.stderr.startswith("logged out")
    assert world.provider.count("revoke") == before + 1
    assert "id_token_hint" in world.opened[-1]
    assert world.tool("token").exit_code == 1
    assert json.loads(world.tool("logout", "--json").stdout) == {"forgotten": True, "revoked": True}


def test_a_logout_without_the_provider_forgets_all_the_same(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the provider cannot be told, the exit code is 3, and the tokens are gone here."""
    world.tool("login")
    monkeypatch.setattr("py_identity_model.sync._driver.time.sleep", lambda seconds: None)
    with world.provider.fault(500, on="revoke"):
        result = world.tool("logout", "--json")
    assert json.loads(result.stdout)["revoked"] is False
    assert result.exit_code == 3
    assert world.tool("token").exit_code == 1


def test_a_browser_that_fails_is_no_reason_to_fail(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the browser cannot be opened, the page to log out at is shown."""

    def broken(url: str) -> bool:
        raise webbrowser.Error("no display")

    world.tool("login")
    monkeypatch.setattr("webbrowser.open", broken)
    result = world.tool("logout", "--browser")
    assert "open this page to log out: http://" in result.stderr
    assert result.exit_code == 0


def test_a_client_is_registered_once_its_file_can_be(world: CliWorld) -> None:
    """Before a client is registered whose secret would be lost, the file is looked at, and the provider asked."""
    path = world.home / "client.json"
    path.write_text("{}")
    before = len(world.provider.requests)
    result = world.run("register", world.provider.issuer, "--output", path)
    assert "--force replaces it" in result.stderr
    assert len(world.provider.requests) == before
    result = world.run("register", world.provider.issuer, "--output", path, "--force", "--json")
    assert json.loads(result.stdout)["code"] == "provider_unsupported"
    assert path.read_text() == "{}"
    assert result.exit_code == 2


class _Ring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


def test_the_keyring_seals_the_logins(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --store keyring the tokens lie in a file of their own, sealed with a key that only the keyring has."""
    ring = _Ring()
    monkeypatch.setattr("py_identity_model.stores._keyring._found", lambda: ring)
    assert world.tool("login", "--store", "keyring").exit_code == 0
    token = world.tool("token", "--store", "keyring").stdout.strip()
    files = list((world.home / "state" / "py-identity-model").iterdir())
    assert {path.name.partition(".db")[0] for path in files} == {"logins.keyring"}
    assert all(token.encode() not in path.read_bytes() for path in files)
    assert [service for service, _ in ring.kept] == ["py-identity-model"]
    assert world.tool("token").exit_code == 1  # the plain file has no login


def test_standard_input_is_one_thing(world: CliWorld) -> None:
    """Two secrets from standard input are a mistake that is named."""
    dash = ["--subject-token-file", "-", "--client-secret-file", "-"]
    result = world.run("token", "--issuer", world.provider.issuer, "--client-id", "x", *dash, input="secret")
    assert "Standard input cannot be both" in result.stderr
    assert result.exit_code == 2


def test_users_are_told_apart(world: CliWorld) -> None:
    """--user keeps several logins beside each other."""
    world.tool("login", "--user", "work")
    assert world.tool("token", "--user", "work").exit_code == 0
    assert world.tool("token").exit_code == 1


# ---- about tokens


def test_a_token_is_exchanged_and_introspected_and_revoked(world: CliWorld) -> None:
    """Tokens are read from files and standard input; none of them shows."""
    token = world.service("token").stdout.strip()
    path = world.home / "token"
    path.write_text(token)
    # The embedded provider exchanges nothing; what it is asked is all that can be seen here.
    exchanged = world.service("token", "--subject-token-file", path, "--audience", "other", "--json")
    asked = parse_qs((world.provider.requests[-1].request.body or b"").decode())
    assert asked["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    assert (asked["subject_token"], asked["audience"]) == ([token], ["other"])
    assert json.loads(exchanged.stdout)["hint"] == "the provider does not offer this grant_type"
    assert exchanged.exit_code == 1
    result = world.service("introspect", input=token)
    assert json.loads(result.stdout)["active"] is True
    assert world.service("revoke", "--token-file", path).exit_code == 0
    result = world.service("introspect", "--token-file", path, "--json")
    assert json.loads(result.stdout) == {"active": False}
    assert result.exit_code == 1


def test_a_refresh_token_of_a_file_is_replaced_there(world: CliWorld) -> None:
    """A provider that rotates refresh tokens kills the old one: the new one takes its place in the file."""
    asked = ["--grant", "device", "--scope", "openid", "--json"]
    mine = pytest.MonkeyPatch()
    with mine.context() as patch:
        patch.setattr(
            "py_identity_model.cli._tokens.say",
            lambda text: "enter" in text and world.provider.approve_device(text.rpartition(" ")[2]),
        )
        patch.setattr("py_identity_model.sync._driver.time.sleep", lambda seconds: None)
        told = json.loads(world.tool("token", *asked).stdout)
    path = world.home / "refresh"
    path.write_text(told["refresh_token"])
    result = world.tool("token", "--refresh-token-file", path)
    assert result.exit_code == 0, result.stderr
    assert path.read_text() not in ("", told["refresh_token"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert world.tool("token", "--refresh-token-file", path).exit_code == 0


def test_a_workload_asks_with_a_token_of_its_platform(world: CliWorld) -> None:
    """--identity names where the platform's token is; what it can be is said."""
    result = world.tool("token", "--identity", "cloud:x")
    assert "github:AUDIENCE" in result.stderr
    assert result.exit_code == 2
    result = world.run("token", "--issuer", world.provider.issuer, "--identity", f"file:{world.home / 'none'}")
    assert "identity_token_missing" in result.stderr
    assert result.exit_code == 2
