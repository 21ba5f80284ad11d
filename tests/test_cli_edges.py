"""The command line where things go wrong: profiles, the environment, streams, files, and hostile tokens."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cli_world import CliWorld, served, world
from py_identity_model import SigningKey
from py_identity_model._core.jose.algorithms import ALGORITHMS
from py_identity_model.cli._commands import COMMANDS
from py_identity_model.cli._decoded import MAX_NOTES, MAX_TOKEN, decoded
from py_identity_model.cli._group import by_profile, load
from py_identity_model.cli._hints import in_options
from py_identity_model.cli._profile import KEYS

__all__ = ["served", "world"]  # fixtures
COMMAND = (sys.executable, "-m", "py_identity_model")


# ---- profiles


def write(world: CliWorld, text: str) -> Path:
    """Write the file of profiles."""
    path = world.home / "config" / "py-identity-model" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_a_profile_stands_in_for_options(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line goes before the environment, that before the profile; a file is found beside the profile."""
    issuer = world.provider.issuer
    path = write(
        world,
        f'[default]\nissuer = "https://wrong.example"\nclient_id = "{world.provider.client_id}"\n'
        f'client_secret_file = "secret"\nscope = "a b"\n[other]\nissuer = "{issuer}"\naudience = ["api"]\n',
    )
    (path.parent / "secret").write_text(world.provider.client_secret)
    told = json.loads(world.run("token", "--issuer", issuer, "--json").stdout)
    assert told["scope"] == "a b"
    monkeypatch.setenv("PY_IDENTITY_MODEL_ISSUER", issuer)
    monkeypatch.setenv("PY_IDENTITY_MODEL_SCOPE", "c")
    assert json.loads(world.run("token", "--json").stdout)["scope"] == "c"
    monkeypatch.delenv("PY_IDENTITY_MODEL_ISSUER")
    token = world.provider.mint(subject="ada")
    for args in (["validate", "--profile", "other", token], ["--profile", "other", "validate", token]):
        assert world.run(*args).exit_code == 0
    monkeypatch.setenv("PY_IDENTITY_MODEL_PROFILE", "other")
    assert json.loads(world.run("discover").stdout)["issuer"] == issuer
    assert world.run("validate", token, "--audience", "another").exit_code == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[default\n", "is not TOML"),
        ('[default]\nissuer = "a"\n\nisuer = "b"\n', "config.toml:4: isuer in [default] is unknown"),
        ('[default]\nisuer = "b"\n', "is issuer meant?"),
        ("[default]\nleeway = true\n", "config.toml:2: leeway in [default] must be a number of seconds"),
        ("[default]\nissuer = 5\n", "must be text"),
        ("[default]\nscope = [1]\n", "must be text, or a list of texts"),
        ('[default]\nissuer = "a\\u001b[2J"\n', "must be text"),
        ('[default]\nclient_secret = "s3cr3t"\n', "client_secret_file"),
        ("default = 1\n", None),
        ("x = " + "[" * 5000, "is not"),
    ],
)
def test_a_fault_in_a_profile_is_named_by_file_line_and_key(world: CliWorld, text: str, expected: str | None) -> None:
    """What is wrong is said where it stands, without a traceback and without a secret; --json has it too."""
    path = write(world, text)
    result = world.run("token", "--json")
    told = json.loads(result.stdout)
    if expected is None:
        assert told["code"] == "setting_invalid"
    else:
        assert expected in told["message"] + told.get("hint", "")
    assert told["code"] == "setting_invalid"
    assert str(path) in told["message"]
    assert "s3cr3t" not in result.stdout + result.stderr
    assert result.exit_code == 2


def test_a_profile_that_is_asked_for_has_to_be_there(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, or in a file without it, a profile that is named is an error; what is there is listed."""
    assert "there is no such file" in world.run("token", "--profile", "prod").stderr
    write(world, '[staging]\nissuer = "https://id.example.com"\n')
    assert "there is: staging" in world.run("token", "--profile", "prod").stderr
    assert world.run("decode", "a.b.c").exit_code == 0  # reads no profile
    monkeypatch.setenv("PY_IDENTITY_MODEL_CONFIG", str(world.home / "none.toml"))
    assert world.run("token").exit_code == 2


def test_a_profile_is_for_options_that_say_so(world: CliWorld) -> None:
    """An option that only happens to have the name of a key, as --as of doctor has, is not the profile's to say."""
    assert not any(by_profile(parameter) for parameter in load("doctor").params)
    write(world, '[default]\nkind = "id_token"\naudience = "api"\n')
    assert "--profile" not in {flag for parameter in load("doctor").params for flag in parameter.opts}
    assert world.run("doctor", "--help").exit_code == 0


@pytest.mark.parametrize("data", [b"\xff\xfe", b'[default]\nissuer = "a"\n\xff'])
def test_a_profile_that_is_no_text(world: CliWorld, data: bytes) -> None:
    """A file that is not UTF-8 is named with the line."""
    write(world, "").write_bytes(data)
    line = len(data.split(b"\n"))
    assert f"line {line} is not UTF-8" in world.run("token").stderr


def test_a_file_of_profiles_is_bounded(world: CliWorld) -> None:
    """A file that is too large, or a folder in its place, is told of."""
    path = write(world, "#" * 1_000_001)
    assert "too large" in world.run("token").stderr
    path.unlink()
    path.mkdir()
    assert "IsADirectoryError" in world.run("token").stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_a_secret(name: str) -> None:
    """Each option has help; secrets come through files, standard input and prompts, never as a value."""
    for parameter in load(name).params:
        assert parameter.help, parameter.name
        if any(word in parameter.name for word in ("secret", "password", "private")):
            assert parameter.name.endswith("_file") or parameter.is_flag, parameter.name


def test_the_help_fits_80_columns() -> None:
    """No line of any help is longer than a terminal of 80 columns."""
    from typer.testing import CliRunner

    from py_identity_model.cli.app import app

    for args in ([], *([name] for name in COMMANDS)):
        lines = CliRunner().invoke(app, [*args, "--help"], terminal_width=80).stdout.splitlines()
        assert max(map(len, lines)) <= 80, args


# ---- words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accept_any_audience=True gives the check up", "--accept-any-audience gives the check up"),
        ("issuer=['https://a', 'https://b c']", "--issuer https://a --issuer 'https://b c'"),
        ('TokenValidator(..., kind="id_token")', "--kind id_token"),
        ("trust 'x' as well, TokenValidator([...])", "trust 'x' as well, with another --issuer"),
        ("key_sets=[IssuerKeySet(...)] takes several", "key_sets=[IssuerKeySet(...)] takes several"),
        (
            "call begin_login(), with the scope offline_access",
            "run py-identity-model login, with the scope offline_access",
        ),
        ("aud=account is what Keycloak writes", "aud=account is what Keycloak writes"),
        ("leeway=30", "--leeway 30"),
    ],
)
def test_hints_speak_of_options(text: str, expected: str) -> None:
    """Arguments of Python that are options here are written as such; others stay."""
    assert in_options(text, {"issuer", "audience", "kind", "accept_any_audience", "leeway"}) == expected


def test_a_mistake_in_the_call_is_json_too(world: CliWorld) -> None:
    """With --json a call that makes no sense is an object on standard output, and words on standard error."""
    result = world.run("validate", "--leeway", "soon", "--json")
    assert json.loads(result.stdout)["code"] == "argument_invalid"
    assert "'--leeway': 'soon' is not a" in result.stderr
    assert result.exit_code == 2


@pytest.mark.skipif(find_spec("typer._coercion") is None, reason="this version of Typer reads values itself")
def test_a_variable_that_is_no_number_is_named(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, its value and what was expected stand in the error."""
    monkeypatch.setenv("PY_IDENTITY_MODEL_LEEWAY", "soon")
    result = world.run("validate", "x")
    assert "PY_IDENTITY_MODEL_LEEWAY" in result.stderr
    assert "'soon' is not a number" in result.stderr


# ---- streams and signals


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, where ``pim`` is the command."""
    function = f'pim() {{ {" ".join(COMMAND)} "$@"; }}; set -o pipefail; '
    told = {**os.environ, **environment}
    return subprocess.run(
        ["bash", "-c", function + script], capture_output=True, text=True, timeout=60, env=told, check=False
    )


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell is needed")
@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("pim decode eyJhbGciOiJub25lIn0.e30. | true", 141, ""),
        ("pim --help | true", 141, ""),
        ("pim decode <&-", 2, "standard input is closed"),
        ("pim revoke --issuer https://a.example --client-id x <&-", 2, "standard input: it is closed"),
        ("pim revoke --issuer https://a.example --client-id x </dev/null", 2, "it is empty"),
        ("printf '\\xff' | PYTHONIOENCODING=utf-8:strict pim decode", 2, "standard input is not UTF-8"),
        ("printf '\\xff' | pim revoke --issuer https://a.example --client-id x", 2, "it is not UTF-8"),
        ("pim token --ask-secret --issuer https://a.example --client-id x </dev/null", 2, "Nobody can be asked"),
        ("pim decode a.b.c >&-", 0, "UNVERIFIED"),
        ("yes eyJ | pim decode", 1, "only the first"),
        ("pim keygen --output /dev/null --force", 2, "it is no file"),
        ("HOME=/dev/null pim token --issuer https://a.example --client-id x", 2, "cannot be made"),
    ],
)
def test_streams_that_are_not_there(script: str, code: int, told: str) -> None:
    """A pipe that breaks, closed streams, bytes that are no text and no home: an answer and a code, no traceback."""
    done = shell(script)
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    assert done.returncode == code, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_gives_up_a_login(world: CliWorld) -> None:
    """A login that is waited for ends at Ctrl-C with 130 and one word."""
    asked = ["login", "--no-browser", "--issuer", world.provider.issuer, "--client-id", "tool"]
    waiting = subprocess.Popen([*COMMAND, *asked], stderr=subprocess.PIPE, text=True)
    assert waiting.stderr is not None
    assert waiting.stderr.readline().startswith("open this page")
    waiting.send_signal(signal.SIGINT)
    _, rest = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert rest.strip() == "interrupted"


#: Makes standard input the terminal of a process, as a shell does, and has the command be quick to speak.
AT_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
import py_identity_model.cli._waiting as waiting
waiting.FIRST = 0.2
from py_identity_model.__main__ import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="a POSIX terminal")
def test_a_terminal_is_asked_for_a_secret(world: CliWorld) -> None:
    """What is typed does not show; what is slow says so to somebody who sits there; standard output is the token."""
    import pty

    asked = ["token", "--ask-secret", "--issuer", world.provider.issuer, "--client-id", world.provider.client_id]
    command = [sys.executable, "-c", AT_A_TERMINAL, *asked]
    ours, theirs = pty.openpty()
    slow = world.provider.fault("slow", on="token", seconds=1.0)
    with slow, subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        shown = ""
        while not shown.endswith("client secret: "):  # from the last character on nothing is shown
            shown += os.read(ours, 1000).decode()
        os.write(ours, (world.provider.client_secret + "\n").encode())
        out, _ = process.communicate(timeout=60)
        while part := _read(ours):
            shown += part
    os.close(ours)
    assert "waiting for an answer" in shown
    assert world.provider.client_secret not in shown
    assert out.startswith("ey")
    assert process.returncode == 0


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 10_000).decode()
    except OSError:  # Linux ends a terminal so
        return ""


def test_completion_reads_the_table(world: CliWorld) -> None:
    """A shell completes commands without importing one, and options of the one that was typed."""
    for typed, expected in (("pim de", {"decode", "demo"}), ("pim decode --j", {"--json"})):
        done = subprocess.run(
            COMMAND,
            env=os.environ
            | {
                "_PY_IDENTITY_MODEL_COMPLETE": "complete_bash",
                "COMP_WORDS": typed,
                "COMP_CWORD": str(typed.count(" ")),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert set(done.stdout.split()) == expected


def test_processes_share_one_renewal(world: CliWorld) -> None:
    """Of several processes that want a token of the login at once, one asks the provider."""
    assert world.tool("login").exit_code == 0
    before = world.provider.count("token")
    asked = [
        *COMMAND,
        "token",
        "--issuer",
        world.provider.issuer,
        "--client-id",
        "tool",
        "--resource",
        "https://a.example",
    ]
    several = [subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate(timeout=60)[0] for process in several}) == 1
    assert world.provider.count("token") == before + 1


# ---- decode


def b64(value: Any) -> str:
    """Return base64url of bytes, or of JSON."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


HEADER = b64({"alg": "ES256"})


def test_decode_says_that_nothing_is_verified(world: CliWorld) -> None:
    """The claims are data, the warning is words; a header that names a key is not followed."""
    asked = len(world.provider.requests)
    address = f"{world.provider.issuer}/jwks"
    token = f"{b64({'alg': 'ES256', 'jku': address, 'x5u': address})}.{b64({'sub': 'ada', 'exp': 1})}.{b64(b'12')}"
    result = world.run("decode", "-", input=f"Bearer {token}\n")
    told = json.loads(result.stdout)
    assert told["payload"] == {"sub": "ada", "exp": 1}
    assert told["header"]["jku"] == address
    assert told["times"] == {"exp": "1970-01-01T00:00:01Z"}
    assert result.stderr.startswith("UNVERIFIED")
    assert "jku names a key set: not followed" in result.stderr
    assert "the word Bearer" in result.stderr
    assert len(world.provider.requests) == asked
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("token", "form", "note"),
    [
        ("", "unknown", "there is no token"),
        ("opaque", "unknown", "no JWT"),
        ("....", "unknown", "no JWT"),
        (f"{HEADER}.{b64({})}.", "JWS", "there is no signature"),
        (f"{b64({'alg': 'none'})}.{b64({})}.", "JWS", "alg is none"),
        (f"{HEADER}..c2ln", "JWS", "there is no payload"),
        (f"{HEADER}.{b64(b'{}')}=.c2ln", "JWS", "not base64url as JOSE writes it"),
        (f"{HEADER}.{b64({})}.c2l", "JWS", "can be written in several ways"),
        (f"{HEADER}.{b64(b'[' * 100_000)}.c2ln", "JWS", "nested too deeply"),
        (f"{HEADER}.{b64(b'{' * 20)}.c2ln", "JWS", "not JSON"),
        (f"{HEADER}.{b64(b'[1]')}.c2ln", "JWS", "no JSON object"),
        (f"{HEADER}.{b64(bytes([255, 254]))}.c2ln", "JWS", "not UTF-8"),
        (HEADER + "." + b64(b'{"sub":"a","sub":"b"}') + ".c2ln", "JWS", "more than once"),
        (HEADER + "." + b64(b'{"n":1' + b"0" * 5000 + b"}") + ".c2ln", "JWS", "a number that no claim needs"),
        (HEADER + "." + b64(b'{"n":1e999}') + ".c2ln", "JWS", "a number that no claim needs"),
        (HEADER + "." + b64(b'{"n":NaN}') + ".c2ln", "JWS", "NaN"),
        (f"{HEADER}.{b64({'exp': 1e300})}.c2ln", "JWS", None),
        (f"{b64({'alg': 'dir', 'enc': 'A128GCM'})}....", "JWE", "encrypted"),
        (f"{HEADER}.{b64({'_sd': []})}.c2ln~{b64(['s', 'name', 'Ada'])}~", "SD-JWT (JWS)", None),
        (json.dumps({"payload": b64({"a": 1}), "signatures": [{"protected": HEADER}, 7]}), "JWS as JSON", None),
        ('{"ciphertext": "x"}', "JWE as JSON", "encrypted"),
        ('{"a": 1}', "unknown", "neither a JWS nor a JWE"),
        ("{" + "[" * 200_000, "unknown", None),
        ("\ud800.\x1b[2J.\x00", "JWS", "not base64url"),
        ("~" * 1000, "SD-JWT (unknown)", None),
        (f"{HEADER}.{b64({})}.c2ln {'x' * MAX_TOKEN}", "JWS", "only the first"),
    ],
)
def test_hostile_tokens_are_shown_as_they_are(token: str, form: str, note: str | None) -> None:
    """Whatever comes is taken apart as far as it goes, noted, and written as ASCII without escape sequences."""
    found = decoded(token)
    assert found["form"] == form
    if note is not None:
        assert any(note in said for said in found["notes"]), found["notes"]
    written = json.dumps(found)
    assert written.isascii()
    assert written.isprintable()
    assert len(found.get("notes", ())) <= MAX_NOTES + 1


def test_a_token_within_a_token_is_taken_apart(world: CliWorld) -> None:
    """A nested JWT is decoded as well, up to a bound; escape sequences stay escaped on both streams."""
    token = f"{HEADER}.{b64({'name': chr(27) + '[31m'})}.c2ln"
    for _ in range(6):
        token = f"{b64({'alg': 'ES256', 'cty': 'JWT'})}.{b64(token.encode())}.c2ln"
    result = world.run("decode", token, "--json")
    assert json.loads(result.stdout)["payload"]["payload"]["form"] == "JWS"
    duplicated = HEADER + "." + b64(b'{"\x1b]0;x":1,"\x1b]0;x":2}') + ".c2ln"
    result = world.run("decode", duplicated)
    assert "\x1b" not in result.stdout + result.stderr


# ---- keygen


@pytest.mark.parametrize("alg", [name for name in ALGORITHMS if not name.startswith(("PS", "RS"))] + ["PS256"])
def test_a_key_of_each_algorithm(world: CliWorld, alg: str) -> None:
    """The private half goes to a file for its owner; read again it has the public half that was shown."""
    path = world.home / "key"
    result = world.run("keygen", "--algorithm", alg, "--output", path, "--format", "jwk", "--bits", "2048")
    assert result.exit_code == 0, result.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = SigningKey.from_jwk(json.loads(path.read_text()))
    assert key.alg == alg
    if key.public_jwk is None:
        assert "no public half" in result.stderr
        return
    assert json.loads(result.stdout) == key.public_jwk
    again = world.run("keygen", "--from", path, "--public", "thumbprint")
    assert again.stdout.strip() == key.kid
    pem = world.run("keygen", "--from", path, "--output", "-").stdout
    assert pem.startswith("-----BEGIN PRIVATE KEY-----")
    assert pem.endswith("-----END PRIVATE KEY-----\n")
    other = world.home / "pem"
    other.write_text(pem)
    shown = json.loads(world.run("keygen", "--from", other, "--algorithm", alg, "--public", "jwks", "--json").stdout)
    assert shown == {"keys": [key.public_jwk]}


def test_a_key_is_never_overwritten_by_mistake(world: CliWorld) -> None:
    """A file that is there stays, unless --force says otherwise; then it is replaced, and a link is not followed."""
    path, elsewhere = world.home / "key", world.home / "elsewhere"
    elsewhere.write_text("mine")
    path.symlink_to(elsewhere)
    result = world.run("keygen", "--output", path)
    assert "--force replaces it" in result.stderr
    assert result.exit_code == 2
    assert world.run("keygen", "--output", path, "--force", "--public", "pem").stdout.startswith("-----BEGIN PUBLIC")
    assert elsewhere.read_text() == "mine"
    assert "PRIVATE KEY" in path.read_text()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "--output is missing"),
        (["--output", "-", "--algorithm", "HS256", "--format", "pem"], "there is no PEM of it"),
        (["--output", "-", "--format", "der"], "it is pem, jwk"),
        (["--output", "-", "--algorithm", "none"], "no signature algorithm"),
        (["--output", "-", "--algorithm", "RS256", "--bits", "512"], "bits"),
        (["--from", "/nowhere/key"], "cannot be read"),
        (["--output", "/nowhere/key"], "cannot be written"),
    ],
)
def test_a_key_that_cannot_be_made(world: CliWorld, args: list[str], told: str) -> None:
    """Each mistake is named, and exits with 2."""
    result = world.run("keygen", *args)
    assert told in result.stderr
    assert result.exit_code == 2


# ---- the reference


def test_every_key_of_a_profile_is_an_option() -> None:
    """What a profile can say is an option of some command, and has a variable."""
    names = {parameter.name for name in COMMANDS for parameter in load(name).params}
    assert set(KEYS) <= names
    assert all(key.env == f"PY_IDENTITY_MODEL_{name.upper()}" for name, key in KEYS.items())


def test_the_reference_is_made_of_the_commands() -> None:
    """The pages have every option of every command: python tools/command_line.py writes them."""
    tool = Path(__file__).resolve().parent.parent / "tools" / "command_line.py"
    assert subprocess.run([sys.executable, tool, "--check"], timeout=60, check=False).returncode == 0
