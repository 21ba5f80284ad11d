"""Build the native engine into the environment where cargo is present.

Without cargo, or where the build fails, the pure engine does the work; with CI=true a failed build is an error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bootstrap

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "native"
STAMP = ROOT / ".venv" / ".native"
PATTERNS = (
    "Cargo.toml",
    "multibuffer/Cargo.toml",
    "Cargo.lock",
    "pyproject.toml",
    "src/**/*.rs",
    "multibuffer/**/*.rs",
    "python/**/*.py*",
)


def fingerprint() -> str:
    """Return a digest of everything the build reads."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in PATTERNS for path in SOURCE.glob(pattern) if path.suffix != ".pyc"}):
        digest.update(str(path.relative_to(SOURCE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_installed() -> bool:
    """Tell whether the engine can be imported here."""
    probe = [sys.executable, "-c", "import py_identity_model_native"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def build(python: Path) -> int:
    """Compile and install the engine into the environment of *python*."""
    anew = [word for option in ("reinstall", "refresh") for word in (f"--{option}-package", "py-identity-model-native")]
    return bootstrap.install_source([sys.executable, "-m", "uv"], python, *anew, SOURCE)


def main() -> int:
    """Build unless that exact source is built already."""
    if shutil.which("cargo") is None:
        print("native engine: no cargo here, the pure engine does the work", file=sys.stderr)
        return 0
    now = fingerprint()
    if STAMP.exists() and STAMP.read_text(encoding="ascii") == now and is_installed():
        return 0
    print("native engine: building, this takes a few minutes once", file=sys.stderr, flush=True)
    if build(Path(sys.executable)) == 0:
        STAMP.write_text(now, encoding="ascii")
        return 0
    print("native engine: the build failed, the pure engine does the work", file=sys.stderr)
    return 1 if os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
