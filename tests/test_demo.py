"""The demo: it passes, says so on the right streams, and fails when a step does not come out as it should."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from py_identity_model.testing import demo

COMMAND = (sys.executable, "-W", "error", "-m", "py_identity_model.testing.demo")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as its users do."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_json_report() -> None:
    """The machine-readable report covers every step, algorithm and forgery, and all came out as they should."""
    done = run("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    assert [step["step"] for step in report["steps"] if not step["ok"]] == []
    assert len(report["steps"]) == len(demo.STEPS)
    assert [row["algorithm"] for row in report["timings"]] == ["RS256", "PS256", "ES256", "Ed25519", "ML-DSA-65"]
    assert len({refusal["explanation"] for refusal in report["refusals"]}) == 5
    assert report["engine"] in ("pure", "native")
    assert set(report["counters"]) == {"sync", "async", "provider"}


def test_tables_and_progress() -> None:
    """Tables go to stdout, progress to stderr, and the verdict names the engine."""
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(title in done.stdout for title in ("Steps", "Times", "Counters", "Engine:"))
    assert "everything came out as it should" in done.stdout
    assert f"{len(demo.STEPS)}/{len(demo.STEPS)}" in done.stderr


def _failing(stage: demo.Stage) -> str:
    raise demo.UnexpectedError("the moon is full")


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_failed_step_fails_the_demo(
    arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One step that does not come out as it should makes the exit code 1, and the reason is shown."""
    for name, value in demo.IMPATIENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(demo, "STEPS", (("discovery", demo.discover), ("luck", _failing)))
    assert demo.main(arguments) == 1
    assert "the moon is full" in capsys.readouterr().out


def test_accepting_a_forgery_is_a_failure() -> None:
    """The steps judge what comes out: a forged token that is accepted, or refused for another reason, is a failure."""
    with demo.staged(demo.Report()) as stage:
        with pytest.raises(demo.UnexpectedError, match="accepted"):
            stage.refusals(stage.mint())
        stage.provider.audience = "https://other.example.com"
        forged = demo.perform(stage, "expired", demo.refuse("wrong_key"))
        assert forged.ok
        stage.sync = demo.blocking.TokenValidator(stage.provider.issuer, audience="another")
        assert not demo.perform(stage, "id_token", demo.refuse("expired")).ok
