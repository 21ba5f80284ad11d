"""Draw the picture of the monitoring page: a real Prometheus watches a real run, and its expression browser is shown.

Usage: python tools/monitoring_picture.py [--seconds 480] [--output docs/assets/monitoring/prometheus.png]

A process validates tokens of two embedded providers. One of them rotates its keys, somebody forges tokens, and then
it is down for longer than its keys may be used. Wanted: the programs prometheus and chromium.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import prometheus_client

from py_identity_model import TokenValidator
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import PyIdentityModelException
from py_identity_model.integrations.prometheus import ValidatorCollector
from py_identity_model.settings import Settings
from py_identity_model.testing import EmbeddedProvider

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "docs" / "assets" / "monitoring"
#: Good tokens per second of each provider, and forged ones while somebody forges.
GOOD, FORGED = 40, 20
#: When something begins and ends, as parts of the whole time.
ROTATION, FORGING, OUTAGE = 0.15, (0.25, 0.4), (0.5, 0.92)
#: What is shown: the queries of four graphs.
GRAPHS = (
    "min by (issuer) (py_identity_model_issuer_refuses_in_seconds)",
    "sum by (issuer, code) (rate(py_identity_model_validations_total[15s]))",
    "sum by (event) (increase(py_identity_model_events_total[30s])) > 0",
    "max by (issuer) (py_identity_model_keys_age_seconds)",
)
#: The size of each of them, how much of its head is left out, and by how much all are made smaller.
WIDTH, HEIGHT, HEAD, ZOOM = 1000, 866, 106, 0.64
CELL = f"float: left; width: {WIDTH}px; height: {HEIGHT - HEAD}px; overflow: hidden"
CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


class Story:
    """What happens to the tokens."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # What the library keeps for a day is kept for seconds, so that the outage has its whole story.
        part = max(60.0, seconds / 8)
        given: dict[str, Any] = {"algorithms": ["ES256"], "cache_control": f"public, max-age={part:.0f}"}
        self.steady = EmbeddedProvider("https://login.example.com", **given)
        self.moody = EmbeddedProvider("https://id.example.com", **given)
        settings = Settings(disco_cache_ttl=part, jwks_cache_ttl=part, max_stale=part, kid_miss_refresh_cooldown=5)
        self.validator = TokenValidator(
            [self.steady.issuer, self.moody.issuer],
            "api",
            http_client=self._transport,
            stores=Stores("sync", settings),
        )
        self._down: Any = None

    def _transport(self, request: Request) -> Reply:
        provider = self.moody if request.url.startswith(self.moody.issuer) else self.steady
        return provider.transport(request)

    def run(self) -> None:
        """Validate tokens until the time is over."""
        began, rotated, count = time.monotonic(), False, 0
        while (at := (time.monotonic() - began) / self.seconds) < 1:
            if at >= ROTATION and not rotated:
                rotated = bool(self.moody.rotate())
            self._outage(OUTAGE[0] <= at < OUTAGE[1])
            for provider in (self.steady, self.moody):
                self._try(provider.mint(audience="api", sub=str(count)))
            if FORGING[0] <= at < FORGING[1] and count % (GOOD // FORGED) == 0:
                self._try(self.moody.mint(audience="api", key=SigningKey.generate("ES256", kid=f"forged-{count}")))
            count += 1
            time.sleep(max(0.0, began + count / GOOD - time.monotonic()))

    def _outage(self, wanted: bool) -> None:
        if wanted and self._down is None:
            self._down = self.moody.play(503, times=None)
        elif not wanted and self._down is not None:
            self.moody.recover()
            self._down = None

    def _try(self, token: str) -> None:
        try:
            self.validator.validate(token)
        except PyIdentityModelException:
            pass  # it is counted


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def watched_by_prometheus(folder: Path, target: int, port: int) -> subprocess.Popen[bytes]:
    """Start a Prometheus that looks at *target* every two seconds."""
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 2s, evaluation_interval: 2s}\n"
        f"rule_files: ['{ASSETS / 'alerts.yml'}']\n"
        "scrape_configs:\n- job_name: api\n  static_configs:\n"
        f"  - targets: ['127.0.0.1:{target}']\n"
    )
    command = [
        *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    return subprocess.Popen(command, cwd=folder)


def wait_for(url: str) -> None:
    """Wait until something answers at *url*."""
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"nothing answers at {url}")


def shoot(url: str, output: Path, folder: Path, width: int, height: int) -> None:
    """Have a browser draw a page."""
    command = [
        *(*CHROMIUM, f"--user-data-dir={folder / 'chromium'}", f"--window-size={width},{height}"),
        *("--virtual-time-budget=15000", f"--screenshot={output}", url),
    ]
    subprocess.run(command, check=True, timeout=120, cwd=folder, stderr=subprocess.DEVNULL)


def draw(port: int, seconds: float, output: Path, folder: Path) -> None:
    """Draw the expression browser once for each graph, and lay the pictures side by side in pairs."""
    shown = []
    for number, expr in enumerate(GRAPHS):
        asked = {"g0.expr": expr, "g0.tab": "0", "g0.range_input": f"{seconds + 10:.0f}s"}
        shoot(f"http://127.0.0.1:{port}/graph?{urlencode(asked)}", folder / f"{number}.png", folder, WIDTH, HEIGHT)
        shown.append(f'<div style="{CELL}"><img src="{number}.png" style="margin-top: -{HEAD}px"></div>')
    page = folder / "page.html"
    page.write_text(f'<body style="margin: 0; width: {2 * WIDTH}px; zoom: {ZOOM}">{"".join(shown)}</body>')
    height = (HEIGHT - HEAD) * (len(shown) // 2)
    shoot(page.as_uri(), output, folder, int(2 * WIDTH * ZOOM), int(height * ZOOM))


def main(arguments: list[str]) -> int:
    """Play the story and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--output", type=Path, default=ASSETS / "prometheus.png")
    options = parser.parse_args(arguments)
    story, port = Story(options.seconds), free_port()
    registry = prometheus_client.CollectorRegistry()
    collector = ValidatorCollector(story.validator, registry=registry)
    server, _ = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prometheus = watched_by_prometheus(folder, server.server_port, port)
        try:
            wait_for(f"http://127.0.0.1:{port}/-/ready")
            story.run()
            draw(port, options.seconds, options.output.absolute(), folder)
            print(f"{options.output}: {os.path.getsize(options.output)} bytes")
        finally:
            prometheus.terminate()
            prometheus.wait(20)
            collector.close()
            server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
