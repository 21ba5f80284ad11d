"""The MCP conformance runner (npm @modelcontextprotocol/conformance) against a client of thirty lines."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import until
from e2e import driver
from parts import leave_out

HERE = Path(__file__).parent / "mcp_conformance"
RUNNER = HERE / "node_modules" / "@modelcontextprotocol" / "conformance"
PAGE = Path(__file__).parent.parent / "docs" / "mcp-client.md"
PART = "MCP conformance runner"
#: Seconds that one scenario may take.
SECONDS = 240

#: Required by both revisions.
BOTH = (
    *(f"metadata-{one}" for one in ("default", "var1", "var2", "var3")),
    "basic-cimd",
    *(f"scope-{one}" for one in ("from-www-authenticate", "from-scopes-supported", "omitted-when-undefined")),
    *(f"scope-{one}" for one in ("step-up", "retry-limit")),
    *(f"token-endpoint-auth-{one}" for one in ("basic", "post", "none")),
    "pre-registration",
)
NEWEST = (
    "resource-mismatch",
    *(f"offline-access-{one}" for one in ("scope", "not-supported")),
    "authorization-server-migration",
    *(f"iss-{one}" for one in ("supported", "not-advertised", "supported-missing", "wrong-issuer", "unexpected")),
    "iss-normalized",
    "metadata-issuer-mismatch",
)
FALLBACKS = ("2025-03-26-oauth-metadata-backcompat", "2025-03-26-oauth-endpoint-fallback")
EXTENSIONS = (
    *("dpop", "dpop-nonce", "client-credentials-jwt", "client-credentials-basic"),
    *("wif-jwt-bearer", "enterprise-managed-authorization"),
)
RUNS = [
    *(("2026-07-28", scenario) for scenario in (*BOTH, *NEWEST)),
    *(("2025-11-25", scenario) for scenario in BOTH),
    *(("2025-03-26", scenario) for scenario in FALLBACKS),
    *(("extension", scenario) for scenario in EXTENSIONS),
]


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What starts a Python program: in a fork of an interpreter that has imported what it wants."""
    name = str(tmp_path_factory.mktemp("forked") / "socket")
    program = str(HERE / "forked.py")
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([sys.executable, program, name], start_new_session=True, **told) as server:
        try:
            until(lambda: os.path.exists(name), server)
            yield shlex.join([sys.executable, "-I", "-S", program, name])
        finally:
            os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def runner() -> Path:
    """The runner, installed."""
    try:
        driver.install(HERE)
    except driver.ProviderUnavailableError as reason:
        leave_out(PART, str(reason))
    return RUNNER


@pytest.mark.needs(PART)
@pytest.mark.parametrize(("revision", "scenario"), RUNS)
def test_a_scenario_of_the_runner_passes(
    revision: str, scenario: str, runner: Path, forked: str, tmp_path: Path
) -> None:
    """Every check of it, without a warning, inside the transport of the official SDK."""
    command = [shutil.which("node") or "node", str(runner / "dist" / "index.js"), "client"]
    command += ["--command", f"{forked} {HERE / 'client.py'}", "--scenario", f"auth/{scenario}"]
    command += ["--timeout", str(SECONDS * 1000), "--output-dir", str(tmp_path)]
    if revision != "extension":
        command += ["--spec-version", revision]
    told = {**os.environ, "BROWSER": f"{forked} {HERE / 'browser.py'} %s &"}
    done = subprocess.run(
        command, env=told, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS + 30, check=False
    )
    told_of = done.stdout + done.stderr
    assert re.search(r"Passed: (\d+)/\1, 0 failed, 0 warnings", told_of), told_of[-4000:]
    assert (done.returncode, "OVERALL: PASSED" in told_of) == (0, True), told_of[-4000:]


@pytest.mark.needs(PART)
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_all_that_a_revision_requires_of_a_clients_authorization_is_run(revision: str, runner: Path) -> None:
    """The runner's own lists name nothing that is left out here."""
    text = (runner / "requirements" / f"{revision}.yaml").read_text(encoding="utf-8")
    required = re.findall(r"^  - auth/(\S+)$", text.partition("\nclient:")[2], re.MULTILINE)
    assert sorted(required) == sorted(scenario for run, scenario in RUNS if run == revision)
    extensions = re.findall(r"scenario: auth/(\S+)\n    leg: client\n    reason: extension", text)
    assert sorted(extensions) == sorted(EXTENSIONS)


def test_the_page_tells_what_is_run() -> None:
    """25, 14, 2 and 6, and a client of at most thirty lines."""
    counts = [sum(run == revision for run, _ in RUNS) for revision in ("2026-07-28", "2025-11-25", "2025-03-26")]
    assert f"| `MCPAuth` | {counts[0]} | {counts[1]} | {counts[2]} | {len(EXTENSIONS)} |" in PAGE.read_text("utf-8")
    assert (*counts, len(EXTENSIONS)) == (25, 14, 2, 6)
    lines = (HERE / "client.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith('"""')]) <= 30
