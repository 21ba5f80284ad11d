"""The command line: what it prints where, what it exits with, and what it never shows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from py_identity_model.cli import app as cli
from py_identity_model.cli import validate as validation
from py_identity_model.cli._commands import COMMANDS
from py_identity_model.cli._group import load
from py_identity_model.exceptions import DOCUMENTATION
from py_identity_model.testing import EmbeddedProvider

#: Versions of Typer that import Rich when they draw, read values with Pydantic, and know what was nearly typed.
NEW_TYPER = find_spec("typer._coercion") is not None


@pytest.fixture
def provider() -> Iterator[EmbeddedProvider]:
    """A provider that can be reached."""
    provider = EmbeddedProvider(audience="api")
    with provider.serve():
        yield provider


@pytest.fixture
def call(provider: EmbeddedProvider) -> Any:
    """Call the command; what it prints is checked for tokens."""
    shown: list[str] = []

    def run(*args: Any, **options: Any) -> Any:
        result = CliRunner().invoke(cli.app, [str(arg) for arg in args], **options)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        shown.append(result.stdout + result.stderr)
        assert "eyJ" not in shown[-1]
        return result

    return run


def against(provider: EmbeddedProvider, *more: Any) -> list[Any]:
    """Return the options for tokens of the provider."""
    return ["--issuer", provider.issuer, "--audience", "api", *more]


def test_a_valid_token_shows_its_claims(call: Any, provider: EmbeddedProvider) -> None:
    """Claims go to standard output as JSON, words to standard error, and the exit code is 0."""
    result = call("validate", provider.mint(subject="ada"), *against(provider))
    assert json.loads(result.stdout)["sub"] == "ada"
    assert result.stderr == "valid\n"
    assert result.exit_code == 0


def test_a_token_comes_through_standard_input(call: Any, provider: EmbeddedProvider) -> None:
    """With - the token is read from standard input, where no list of processes and no history keeps it."""
    result = call("validate", "-", *against(provider, "--json"), input=provider.mint(subject="ada") + "\n")
    assert json.loads(result.stdout)["claims"]["sub"] == "ada"
    assert json.loads(result.stdout)["verdict"] == "valid"
    assert result.exit_code == 0


def test_a_refused_token_says_why(call: Any, provider: EmbeddedProvider) -> None:
    """A refusal has its message, code and hint on standard error, and the exit code 1."""
    token = provider.mint(audience="other")
    result = call("validate", token, *against(provider))
    assert result.stdout == ""
    assert result.stderr.startswith("refused: The token is for other, expected api (audience_mismatch)")
    assert result.exit_code == 1
    result = call("validate", token, *against(provider, "--json"))
    assert json.loads(result.stdout)["code"] == "audience_mismatch"
    assert result.exit_code == 1


def test_a_refusal_shows_its_hint(call: Any, provider: EmbeddedProvider) -> None:
    """A hint that the error has is shown on a line of its own, and so is where its code is explained."""
    result = call("validate", provider.mint(audience="api/"), *against(provider))
    page = f"{DOCUMENTATION}reference/errors/#audience_mismatch"
    assert result.stderr.splitlines()[1:] == ["hint: they differ only by a trailing slash", f"help: {page}"]
    assert (
        json.loads(call("validate", provider.mint(audience="api/"), "--json", *against(provider)).stdout)["help"]
        == page
    )


def test_an_explanation_says_what_would_help(call: Any, provider: EmbeddedProvider) -> None:
    """The command prints each check and the remedy; the exit code is that of a refusal."""
    token = provider.mint(subject="ada", audience="api/")
    result = call("explain", "-", *against(provider), input=f"Bearer {token}\n")
    assert "without the word Bearer" in result.stdout
    assert "here: --audience api/" in result.stdout
    assert result.exit_code == 1
    told = json.loads(call("explain", token, *against(provider, "--json")).stdout)
    assert told["cause"] == "audience_trailing_slash"
    assert told["remedies"][0]["setting"] == "audience='api/'"
    assert told["remedies"][0]["option"] == "--audience api/"


def test_an_explanation_knows_scopes_and_claims(call: Any, provider: EmbeddedProvider) -> None:
    """Scopes that are needed are a check; claims are shown where they are asked for."""
    token = provider.mint(subject="ada")
    assert call("explain", token, *against(provider)).exit_code == 0
    result = call("explain", token, *against(provider, "--scope", "orders.read", "--claims", "--json"))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["cause"] == "scope_not_granted"
    assert json.loads(result.stdout)["claims"]["sub"] == "ada"


def test_an_explanation_without_a_provider_exits_with_3(call: Any, provider: EmbeddedProvider) -> None:
    """Where nobody can be asked, that is said, and what can be told without is told."""
    with provider.fault(404):
        result = call("explain", provider.mint(), *against(provider))
    assert result.stdout.startswith("cannot be verified now")
    assert "audience" in result.stdout
    assert result.exit_code == 3


def test_markup_in_a_token_is_only_text(call: Any, provider: EmbeddedProvider) -> None:
    """What a token says is shown as it is: it cannot colour the terminal."""
    result = call("validate", provider.mint(audience="[red]other[/red]"), *against(provider))
    assert "[red]other[/red]" in result.stderr


@pytest.mark.parametrize("options", [[], ["--batch", "tokens.jsonl", "token"], ["token", "--issuer", "x"]])
def test_a_call_that_makes_no_sense_exits_with_2(call: Any, options: list[str]) -> None:
    """Neither a token nor a file, both, or no audience: the caller's mistakes are told apart from refusals."""
    result = call("validate", *options)
    assert result.stderr.startswith("error: ")
    assert result.exit_code == 2


def test_an_unreachable_provider_exits_with_3(call: Any, provider: EmbeddedProvider) -> None:
    """That a token cannot be verified now is no refusal."""
    with provider.fault(404):
        result = call("validate", provider.mint(), *against(provider, "--json"))
    assert json.loads(result.stdout)["verdict"] == "unverified"
    assert result.exit_code == 3


def test_keys_can_come_from_a_file(call: Any, provider: EmbeddedProvider, tmp_path: Path) -> None:
    """With --keys nothing is fetched."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(provider.key_set()))
    result = call("validate", provider.mint(), *against(provider, "--keys", path))
    assert result.exit_code == 0
    assert provider.count() == 0


@pytest.fixture
def batch(provider: EmbeddedProvider, tmp_path: Path) -> Path:
    """A file with two good tokens and two bad ones."""
    path = tmp_path / "tokens.jsonl"
    tokens = [provider.mint(), provider.mint(audience="other"), "garbage", provider.mint()]
    path.write_text("".join(json.dumps({"token": token}) + "\n" for token in tokens))
    return path


def test_a_file_is_summed_up_by_code(call: Any, provider: EmbeddedProvider, batch: Path) -> None:
    """The summary on standard output counts by verdict and code, and refusals make the exit code 1."""
    result = call("validate", "--batch", batch, *against(provider, "--workers", 1))
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["valid", "2"] in lines
    assert ["refused", "audience_mismatch", "1"] in lines
    assert ["refused", "token_malformed", "1"] in lines
    assert result.stdout.splitlines()[-1].startswith("4 rows, ")
    assert result.exit_code == 1


def test_a_file_is_summed_up_as_json(call: Any, provider: EmbeddedProvider, batch: Path, tmp_path: Path) -> None:
    """With --json the summary is one line of JSON, and results are in the file that was named."""
    output = tmp_path / "out.jsonl"
    options = against(provider, "--workers", 1, "--json", "--output", output, "--claims")
    result = call("validate", "--batch", batch, *options)
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["valid"]) == (4, 2)
    assert summary["refused"] == {"audience_mismatch": 1, "token_malformed": 1}
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["valid", "refused", "refused", "valid"]
    assert rows[0]["claims"]["aud"] == "api"
    result = call("validate", "--batch", batch, *options)
    assert json.loads(result.stdout)["code"] == "output_exists"
    assert result.exit_code == 2


def test_a_file_of_good_tokens_exits_with_0(call: Any, provider: EmbeddedProvider, tmp_path: Path) -> None:
    """If every token is valid the exit code is 0; tokens may stand in any column of a CSV file."""
    path = tmp_path / "tokens.csv"
    path.write_text(f"id,jwt\n1,{provider.mint()}\n")
    result = call("validate", "--batch", path, *against(provider, "--workers", 1, "--column", "jwt"))
    assert result.exit_code == 0


def test_a_file_is_not_begun_without_keys(call: Any, provider: EmbeddedProvider, batch: Path) -> None:
    """If the provider cannot be reached at the start, no row is judged by that."""
    with provider.fault(404):
        result = call("validate", "--batch", batch, *against(provider))
    assert result.stdout == ""
    assert result.exit_code == 3


def test_an_interrupt_exits_with_130(
    call: Any, provider: EmbeddedProvider, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted job says so, and the same call goes on."""

    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(validation, "validate_file", interrupted)
    result = call("validate", "--batch", batch, *against(provider))
    assert "interrupted" in result.stderr
    assert result.exit_code == 130


def test_tokens_that_could_not_be_verified_exit_with_3(
    call: Any, provider: EmbeddedProvider, batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A summary with unverified rows is no success and no refusal."""
    summary = validation.Summary(rows=2, valid=1, unverified={"jwks_failed": 1})
    monkeypatch.setattr(validation, "validate_file", lambda *args, **options: summary)
    result = call("validate", "--batch", batch, *against(provider))
    assert ["unverified", "jwks_failed", "1"] in [line.split() for line in result.stdout.splitlines()]
    assert result.exit_code == 3


def test_metadata_is_shown(call: Any, provider: EmbeddedProvider) -> None:
    """discover prints a provider's metadata as JSON."""
    for options in ([], ["--json"]):
        result = call("discover", provider.issuer, *options)
        assert json.loads(result.stdout)["issuer"] == provider.issuer
        assert result.exit_code == 0


def test_keys_are_shown(call: Any, provider: EmbeddedProvider) -> None:
    """keys prints a provider's keys as a table, or as a key set."""
    result = call("keys", provider.issuer)
    kids = [key["kid"] for key in provider.key_set()["keys"]]
    assert all(kid in result.stdout for kid in kids)
    result = call("keys", provider.issuer, "--json")
    assert [key["kid"] for key in json.loads(result.stdout)["keys"]] == kids


@pytest.mark.parametrize("command", ["discover", "keys"])
def test_a_provider_that_does_not_answer_is_told_of(call: Any, provider: EmbeddedProvider, command: str) -> None:
    """A look at a provider that fails exits with 3."""
    with provider.fault(404):
        assert call(command, provider.issuer).exit_code == 3


def test_the_command_is_a_module_too(provider: EmbeddedProvider, tmp_path: Path) -> None:
    """python -m py_identity_model judges a file with worker processes, in a process of its own."""
    path = tmp_path / "tokens.txt"
    path.write_text("".join(provider.mint() + "\n" for _ in range(3)))
    command = [sys.executable, "-m", "py_identity_model", "validate", "--batch", path, *against(provider, "--json")]
    done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["valid"] == 3


def test_without_its_packages_the_command_says_what_to_install(tmp_path: Path) -> None:
    """Where the extra is missing, the error is the line that installs it."""
    code = "import sys\nsys.modules['typer'] = None\nfrom py_identity_model.__main__ import main\nmain()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "The command needs more packages: pip install 'py-identity-model[cli]'\n"
    assert done.returncode == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_each_command_says(name: str) -> None:
    """A command's line in the list of commands is the first line of its own help."""
    assert load(name).help.splitlines()[0] == COMMANDS[name].help


def imports(*args: str) -> set[str]:
    """Return the modules that a call of the command imports."""
    code = (
        f"import sys\nfrom py_identity_model.__main__ import main\nsys.argv = ['p', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('#', *sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout
    return set(done.stderr.rpartition("#")[2].split())


@pytest.mark.parametrize("args", [("--help",), ("decode", "eyJhbGciOiJub25lIn0.e30."), ("decode", "--help")])
def test_what_must_be_quick_imports_little(args: tuple[str, ...]) -> None:
    """The list of commands, and decode, come up without another command, Rich, Pydantic, a client or cryptography."""
    imported = imports(*args)
    heavy = {"httpx2", "httpx", "cryptography", "msgspec", "pydantic", "asyncio", "ssl"}
    assert not imported & (heavy | ({"rich"} if NEW_TYPER else set()))
    own = {name for name in imported if name.startswith("py_identity_model.cli.") and "._" not in name}
    assert own - {"py_identity_model.cli.app"} == ({"py_identity_model.cli.decode"} if "decode" in args else set())
    assert len(imported) < (330 if NEW_TYPER else 500), len(imported)


def test_a_slip_of_the_pen_is_answered_with_the_command(call: Any) -> None:
    """An unknown command that is nearly one is answered with that one, and exits with 2."""
    result = call("expain")
    assert "No such command 'expain'" in result.stderr
    assert not NEW_TYPER or "Did you mean 'explain'?" in result.stderr
    assert result.exit_code == 2
