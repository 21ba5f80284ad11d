"""Every relying-party module of the conformance suite has a test named after it, or a reason why it has none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Module -> why no test carries its name.
REASONS = {
    "oidcc-client-test-userinfo-bearer-body": (
        "An access token goes into the Authorization header only: a form body ends up in more logs and proxies, and "
        "FAPI 2.0 5.3.3.1 and RFC 9700 ask for the header."
    ),
    "oidcc-client-test-request-uri-signed-none": "Unsigned request objects are not made: RFC 9101 10.1, RFC 8725 3.2.",
    "fapi1-advanced-final-client-test-invalid-openbanking-intent-id": (
        "openbanking_intent_id is a claim of the UK profile: an application's claims_validator compares it."
    ),
    "fapi1-advanced-final-client-brazildcr-happypath": "Open Finance Brazil's directory and its software statements.",
    "fapi2-security-profile-final-client-test-invalid-openbanking-intent-id": "As in FAPI 1.0: the UK profile's claim.",
    "fapi-ciba-id1-client-connectid-invalid-missing-txn-test": "txn is a claim of ConnectID Australia's profile.",
    "fapi-ciba-id1-client-connectid-invalid-missing-trust-framework-test": "A claim of ConnectID Australia's profile.",
    "fapi-ciba-id1-client-connectid-invalid-wrong-trust-framework-test": "A claim of ConnectID Australia's profile.",
}


def modules(text: str) -> list[str]:
    """Read the list: a line in brackets gives the prefix of the names below it, up to the next."""
    found, prefix = [], None
    for line in text.splitlines():
        opening = re.fullmatch(r"\[\w+: (\S+)\]", line)
        if opening:
            prefix = opening[1]
        elif line.startswith("#") or (not line and prefix is None):
            continue
        elif line and prefix is not None:
            found.append(prefix + line)
    return found


def test_names(source: str) -> set[str]:
    """Return the names of the tests in a file, those of classes included."""
    tree = ast.parse(source)
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


test_names.__test__ = False  # type: ignore[attr-defined]


def test_every_module_has_a_test_or_a_reason():
    """A module with neither fails, and so does a reason for a module that has a test or does not exist."""
    listed = ["oidcc-client-test", *modules((HERE / "modules.txt").read_text(encoding="utf-8"))]
    assert len(listed) > 140
    written = set().union(*(test_names(path.read_text(encoding="utf-8")) for path in HERE.parent.rglob("test_*.py")))
    tested = {module for module in listed if "test_" + module.replace("-", "_") in written}
    assert [module for module in listed if module not in tested | REASONS.keys()] == []
    assert sorted(REASONS.keys() & tested) == []
    assert sorted(REASONS.keys() - set(listed)) == []


def test_the_gate_sees_a_module_without_a_test():
    """Names are put together from prefix and rest, and comments are none."""
    assert modules("# a comment\n\n[core: oidcc-test]\n-one\n\n[ciba: ciba-]\ntwo\n") == ["oidcc-test-one", "ciba-two"]
