"""Explanations: every check in order, the verdict of the validator itself, and the cause with its remedy."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from misconfigurations import CASES, REALM, Case
from py_identity_model import ConfigurationException, Requirement, TokenValidationConfig
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.explain.explanation import Explanation, differing
from py_identity_model._core.explain.shapes import meant
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ClaimsValidationError, NetworkException, TokenValidationException

ROOT = Path(__file__).parents[1]
KEY = SigningKey.generate("ES256", kid="k1")
OTHER = SigningKey.generate("ES256", kid="k1")
SECRET = SigningKey.from_secret(b"s" * 32, "HS256")
KEYS = {**(KEY.public_jwk or {}), "kid": "k1"}
MORE = {**(SigningKey.generate("ES256").public_jwk or {}), "kid": "k0"}


def explain(api: Api, token: str, validator: Any, **options: Any) -> Explanation:
    """Explain by the API at hand."""
    module = importlib.import_module("py_identity_model" if api.name == "sync" else "py_identity_model.aio")
    found: Explanation = api.call(module.explain, token, validator, **options)
    return found


def minted(case: Case) -> str:
    """Make the token of a case, with whatever stands around it."""
    good = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW - 60, "exp": NOW + 600} | case.claims
    claims = {name: value for name, value in good.items() if value is not None}
    header = {"alg": "ES256", "typ": "JWT", "kid": "k1"} | case.header
    header = {name: value for name, value in header.items() if value is not None}
    head, body = (b64url_encode(json.dumps(part).encode()) for part in (header, claims))
    signer = OTHER if case.foreign else KEY
    signature = (SECRET if header["alg"] == "HS256" else signer).sign(f"{head}.{body}".encode())
    return case.shape.format(f"{head}.{body}.{b64url_encode(signature)}")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_names_cause_and_remedy_of_what_people_report(api: Api, case: Case) -> None:
    """Each misconfiguration that people report is told by name, with what to do, and the setting where that is safe."""
    validator = api.validator(case.issuer, case.audience, keys={"keys": [KEYS, MORE]}, **case.options)
    requirement = Requirement(scopes=case.scopes) if case.scopes else None
    found = explain(api, minted(case), validator, requirement=requirement)
    assert not found.accepted
    remedies = {one.cause: one for one in found.remedies}
    assert case.cause in remedies, str(found)
    remedy = remedies[case.cause]
    assert case.words in remedy.text
    assert remedy.setting == case.setting


def test_there_are_forty_cases_at_least() -> None:
    """The corpus holds forty misconfigurations and more, each under a name of its own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 40


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_says_what_the_validator_says(api: Api, case: Case) -> None:
    """The verdict is the validator's own: the code of its exception is among the refused checks."""
    validator = api.validator(case.issuer, case.audience, keys={"keys": [KEYS, MORE]}, **case.options)
    token = minted(case)
    found = explain(api, token, validator)
    outcome = api.call(validator.validate_many, [token])[0]
    code = None if isinstance(outcome, dict) else outcome.code
    assert found.accepted is (code is None)
    assert (found.error.code if found.error else None) == code
    assert found.accepted or code in {check.code for check in found.checks}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_never_holds_the_token(api: Api, case: Case) -> None:
    """Neither text nor JSON of an explanation holds the token, its signature, or the subject."""
    validator = api.validator(case.issuer, case.audience, keys={"keys": [KEYS, MORE]}, **case.options)
    token = minted(case)
    found = explain(api, token, validator)
    said = str(found) + json.dumps(found.as_dict()) + repr(found)
    for piece in token.split("."):
        assert len(piece) < 12 or piece not in said
    assert "ada" not in said.replace("metadata", "")


@pytest.mark.usefixtures("clock")
def test_tells_every_check_in_order(api: Api) -> None:
    """A token with three faults has all of them told, each with its remedy; what holds is told as well."""
    validator = api.validator(ISSUER, "https://api.example.com", keys=KEYS)
    token = sign_compact(
        {"iss": ISSUER + "/", "aud": "https://api.example.com/", "sub": "a", "exp": NOW - 9, "iat": 1}, KEY
    )
    found = explain(api, token, validator)
    assert [check.name for check in found.refused] == ["issuer", "audience", "expiry"]
    assert [one.cause for one in found.remedies] == [
        "issuer_trailing_slash",
        "audience_trailing_slash",
        "expired_just_now",
    ]
    assert not any(one.suffices for one in found.remedies)
    assert {check.name for check in found.checks if check.verdict == "passed"} >= {"form", "key", "signature", "kind"}


@pytest.mark.usefixtures("clock")
def test_marks_the_character_that_differs(api: Api) -> None:
    """Where expected and actual part, the character is marked under both."""
    validator = api.validator("https://id.example.com/tenants/one/v2.0", "api", keys=KEYS)
    token = sign_compact({"iss": "https://id.example.com/tenants/two/v2.0", "aud": "api", "exp": NOW + 9}, KEY)
    found = explain(api, token, validator)
    issuer = next(check for check in found.checks if check.name == "issuer")
    assert issuer.differs_at == len("https://id.example.com/tenants/")
    lines = str(found).splitlines()
    place = next(n for n, line in enumerate(lines) if "actual" in line)
    assert lines[place][lines[place + 1].index("^")] == "t"
    assert lines[place - 1][lines[place + 1].index("^")] == "o"


@pytest.mark.usefixtures("clock")
def test_a_setting_is_told_only_for_a_token_of_the_issuer(api: Api) -> None:
    """Whoever forges a token is not told to be let in: without a good signature no audience is suggested."""
    validator = api.validator(ISSUER, "https://api.example.com", keys=KEYS)
    claims = {"iss": ISSUER, "aud": "https://api.example.com/", "sub": "a", "exp": NOW + 9, "iat": NOW}
    good = explain(api, sign_compact(claims, KEY), validator)
    forged = explain(api, sign_compact(claims, OTHER), validator)
    assert good.remedies[0].setting == "audience='https://api.example.com/'"
    assert good.remedies[0].suffices
    assert [one.setting for one in forged.remedies] == [None, None]


@pytest.mark.usefixtures("clock")
def test_what_suffices_suffices(api: Api) -> None:
    """With the one setting that is told the token is accepted."""
    claims = {"iss": ISSUER + "/", "aud": "api", "sub": "a", "exp": NOW + 9, "iat": NOW}
    token = sign_compact(claims, KEY)
    found = explain(api, token, api.validator(ISSUER, "api", keys=KEYS))
    (remedy,) = found.remedies
    assert remedy.suffices
    assert remedy.setting == f"issuer='{ISSUER}/'"
    assert explain(api, token, api.validator(ISSUER + "/", "api", keys=KEYS)).accepted


@pytest.mark.usefixtures("clock")
def test_an_accepted_token_is_explained_too(api: Api) -> None:
    """A good token has every check passed, no remedy, and its claims where they are asked for."""
    validator, token = api.validator(ISSUER, "api", keys=KEYS), minted(Case("good", "", ""))
    found = explain(api, token, validator)
    assert found.accepted
    assert found.error is found.cause is found.claims is None
    assert {check.verdict for check in found.checks} == {"passed"}
    assert str(found).startswith("accepted")
    told = explain(api, token, validator, show_claims=True)
    assert told.claims is not None
    assert told.as_dict()["claims"]["sub"] == "ada"
    assert "ada" not in repr(told)


@pytest.mark.usefixtures("clock")
def test_the_provider_is_away(api: Api) -> None:
    """Where the keys cannot be had, that is unknown, not refused; what can be told without them is told."""
    provider = Provider(k1=KEY)
    provider.fail = lambda request: (_ for _ in ()).throw(ConnectionError("down"))
    validator = api.validator(ISSUER, "other", http_client=provider)
    found = explain(api, provider.token(), validator)
    assert not found.accepted
    verdicts = {check.name: check.verdict for check in found.checks}
    assert verdicts["key"] == "unknown"
    assert verdicts["signature"] == "not reached"
    assert verdicts["audience"] == "refused"
    good = explain(api, provider.token(), api.validator(ISSUER, "api", http_client=provider))
    assert isinstance(good.error, NetworkException)
    assert str(good).startswith("cannot be verified now")


@pytest.mark.usefixtures("clock")
def test_fetches_no_more_than_a_validation(api: Api) -> None:
    """An explanation asks the provider for what a validation would, and for nothing else."""
    asked = []
    for explains in (True, False):
        provider = Provider(k1=KEY)
        validator = api.validator(ISSUER, "api", http_client=provider)
        for token in (provider.token(), provider.token(key=OTHER), provider.token(aud="other")):
            if explains:
                explain(api, token, validator)
            else:
                api.call(validator.validate_many, [token])
        asked.append(provider.requests)
    assert asked[0] == asked[1] != []


@pytest.mark.usefixtures("clock")
def test_teaches_the_validator_nothing(api: Api) -> None:
    """A token that is refused for its header stays refused after its signature was looked at."""
    validator = api.validator(ISSUER, "api", keys=KEYS)
    token = minted(Case("", "", "", header={"typ": "logout+jwt"}))
    for _ in range(2):
        assert explain(api, token, validator).cause == "other_kind"
        with pytest.raises(TokenValidationException):
            api.call(validator.validate, token)


@pytest.mark.usefixtures("clock")
def test_nobody_is_asked_about_a_forged_token(api: Api) -> None:
    """The application is asked about tokens only whose signature and claims are good."""
    asked: list[Any] = []

    def refuse(claims: dict[str, Any]) -> None:
        asked.append(claims)
        raise ClaimsValidationError("not today")

    validator = api.validator(ISSUER, "api", keys=KEYS, claims_validator=refuse)
    forged = explain(api, minted(Case("", "", "", foreign=True)), validator)
    assert asked == []
    assert forged.checks[-1].name == "application"
    assert forged.checks[-1].verdict == "not reached"
    found = explain(api, minted(Case("", "", "")), validator)
    assert found.checks[-1].message == "not today"
    assert found.cause == "claims_refused"


@pytest.mark.usefixtures("clock")
def test_a_revoked_token_is_told(api: Api) -> None:
    """A revocation is a check of its own."""
    validator = api.validator(ISSUER, "api", keys=KEYS)
    api.call(validator.revoke, sub="ada")
    found = explain(api, minted(Case("", "", "")), validator)
    assert found.refused[0].name == "revocation"
    assert found.cause == "token_revoked"


@pytest.mark.usefixtures("clock")
def test_several_issuers(api: Api) -> None:
    """Where several issuers are trusted and the token is by none of them, the nearest one explains it."""
    validator = api.validator([ISSUER, REALM], "api", http_client=Provider(k1=KEY))
    found = explain(api, sign_compact({"iss": REALM + "/", "aud": "api", "sub": "a", "exp": NOW + 9}, KEY), validator)
    assert found.cause == "issuer_trailing_slash"
    assert {check.verdict for check in found.checks if check.name in ("key", "signature")} == {"not reached"}


@pytest.mark.usefixtures("clock")
def test_a_configuration_is_explained_as_well(api: Api) -> None:
    """The configuration of validate_token may be given in place of a validator."""
    provider = Provider(k1=KEY)
    config = TokenValidationConfig(perform_disco=True, audience="apis")
    found = explain(api, provider.token(aud="api"), config, address=ISSUER, http_client=provider)
    assert found.refused[0].name == "audience"


@pytest.mark.usefixtures("clock")
def test_what_a_login_expects(api: Api) -> None:
    """For ID tokens the expectation of the login is a check; with a validator of another kind it is a mistake."""
    claims = {"iss": ISSUER, "aud": "web", "sub": "ada", "iat": NOW, "exp": NOW + 60, "nonce": "first"}
    validator = api.validator(ISSUER, "web", keys=KEYS, kind="id_token")
    token = sign_compact(claims, KEY)
    assert explain(api, token, validator, nonce="first").accepted
    found = explain(api, token, validator, nonce="second")
    assert found.refused[0].name == "login"
    assert "first" not in str(found)
    with pytest.raises(ConfigurationException):
        explain(api, token, api.validator(ISSUER, "web", keys=KEYS), nonce="first")


@pytest.mark.parametrize(
    "given",
    ["", ".", "..", "a.b.c", "Bearer", "Bearer ", "%", "%zz", "=.=.=", "\ud800", "\x00" * 9, "a" * 200_000, "{", "<"],
)
@pytest.mark.usefixtures("clock")
def test_explains_whatever_comes(api: Api, given: str) -> None:
    """Nothing that can be sent raises; it is refused, and the cause has a name."""
    found = explain(api, given, api.validator(ISSUER, "api", keys=KEYS))
    assert not found.accepted
    assert found.cause
    json.dumps(found.as_dict())
    str(found).encode()


def test_nothing_inside_a_token_is_guessed() -> None:
    """What stands around a token is taken away; a token that is right stays as it is."""
    assert meant("a.b.c").cause is None
    assert meant("a.b.c").token == "a.b.c"
    assert meant(' "Bearer a.b.c" ').token == "a.b.c"
    assert meant("a.b%2Ec").token == "a.b.c"
    assert meant("a.\n b.c").token == "a.b.c"
    assert meant("a+/.b.c==").token == "a-_.b.c"


@pytest.mark.parametrize(("one", "other", "place"), [("", "", None), ("a", "a", None), ("a", "ab", 1), ("ab", "aB", 1)])
def test_where_texts_part(one: str, other: str, place: int | None) -> None:
    """The place is that of the first character that is not the same."""
    assert differing(one, other) == place


def test_the_page_names_every_cause() -> None:
    """The page lists every cause there is, and none that there is not."""
    page = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", page.split("## What it knows")[1]))
    source = ROOT / "src" / "py_identity_model" / "_core"
    modules = [source / "validation" / "hints.py", *sorted((source / "explain").glob("*.py"))]
    strings: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Cause":
                strings |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant)}
                strings |= {
                    one.value for arm in node.args[:1] for one in ast.walk(arm) if isinstance(one, ast.Constant)
                }
            if isinstance(node, ast.Tuple) and len(node.elts) == 3 and isinstance(node.elts[1], ast.Constant):
                strings.add(node.elts[1].value)
    named = {one for one in strings if isinstance(one, str) and re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", one)}
    assert {case.cause for case in CASES} <= listed | {"expired", "paseto", "unsigned"}
    assert {one for one in named if "_" in one} - listed == set()
