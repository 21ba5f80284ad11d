"""What comes out: tables for people, a document for machines."""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl.backend import backend
from rich.console import Console
from rich.table import Table

from . import ours, peers
from .warm import FLOOR, Row

_PACKAGES = (
    *("py-identity-model", "cryptography", "msgspec", "httpx2", "py-identity-model-native"),
    *("fastapi", "flask", "django", "djangorestframework", "fastmcp", "uvicorn", "waitress"),
    *("fastapi-azure-auth", "flask-jwt-extended", "mozilla-django-oidc"),
    *peers.PACKAGES,
)


def machine() -> dict[str, Any]:
    """Tell what the figures were measured on."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "optimized_build": _optimized(),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "openssl": " ".join(backend.openssl_version_text().split()[:2]),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": _cores(),
        "engines": list(ours.engines()),
        "engine_note": engine_note(packages),
        "packages": packages,
    }


def engine_note(packages: Mapping[str, str]) -> str:
    """Tell which engines are measured, and whether the native one verifies eight signatures at once in batches."""
    if "native" not in ours.engines():
        return "pure only: the native engine is not installed here"
    return (
        f"pure; native {packages.get('py-identity-model-native', '')} (AWS-LC; eight at once: {ours.eight_at_once()})"
    )


def _optimized() -> bool:
    """Tell whether the interpreter was built with profile-guided optimization; Debian's are, and do not say so."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return True
    return sys.base_prefix == "/usr" and Path("/etc/debian_version").exists()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interpreter(facts: Mapping[str, Any]) -> str:
    """Name the interpreter in a line."""
    build = "" if facts["optimized_build"] else ", built without profile-guided optimization"
    threads = ", free-threaded" if facts["free_threaded"] else ""
    return f"{facts['implementation']} {facts['python']}{threads}{build}, {facts['system']}, {facts['cores']} cores"


def show(rows: Sequence[Row], console: Console) -> None:
    """Print one table per token."""
    for algorithm, token in dict.fromkeys((row.algorithm, row.token) for row in rows):
        table = Table(title=f"{algorithm}, {token}", title_justify="left")
        table.add_column("candidate")
        for name in ("min µs", "median µs", "ratio min", "ratio median"):
            table.add_column(name, justify="right")
        chosen = [row for row in rows if (row.algorithm, row.token) == (algorithm, token)]
        for row in sorted(chosen, key=lambda row: row.timing.low):
            style = "dim" if row.candidate == FLOOR else "bold" if "valid" in row.candidate.lower() else ""
            table.add_row(
                row.candidate,
                f"{row.timing.low:.2f}",
                f"{row.timing.mid:.2f}",
                f"{row.ratio:.3f}",
                f"{row.ratio_mid:.3f}",
                style=style,
            )
        console.print(table)


def show_figures(title: str, figures: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print any list of figures that have the same names."""
    listed = list(figures)
    if not listed:
        return
    table = Table(title=title, title_justify="left")
    names = list(dict.fromkeys(name for figure in listed for name in figure))
    for name in names:
        table.add_column(name, justify="left" if name == names[0] else "right")
    for figure in listed:
        table.add_row(*(_text(figure.get(name, "")) for name in names))
    console.print(table)


def _text(value: object) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write the document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def console() -> Console:
    """Return where tables go: stdout."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)
