"""Run what the migration pages change a program from, against the real libraries: ``python -m bench.migrations``.

The benchmark's environment has them. A diff's left side runs as written, with an embedded provider in place of
https://id.example.com: it must let a good token in and keep one for another audience out. What tests run everywhere is
the right side.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

from py_identity_model.testing import EmbeddedProvider

PAGES = Path(__file__).resolve().parent.parent / "docs" / "migration"
#: Page -> the module that the left side of its first diff imports, and the audience that it expects.
LEFT = {
    "pyjwt": ("jwt", "api"),
    "python-jose": ("jose", "api"),
    "joserfc": ("joserfc", "api"),
    "fastapi-azure-auth": ("fastapi_azure_auth", "https://api.example.com"),
    "flask-jwt-extended": ("flask_jwt_extended", "https://api.example.com"),
}


def left_side(page: str) -> str:
    """Return the program that the first diff of a page begins with."""
    found = re.search(r"```diff\n(.*?)```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found, page
    lines = found[1].splitlines()
    return "\n".join(line[1:] for line in lines if line[:1] != "+") + "\n"


def answers(app: Any, token: str) -> int:
    """Return the status that a web application answers a request for the orders with."""
    headers = {"Authorization": f"Bearer {token}"}
    if hasattr(app, "test_client"):
        return int(app.test_client().get("/orders", headers=headers).status_code)
    from fastapi.testclient import TestClient

    return TestClient(app).get("/orders", headers=headers).status_code


def run(page: str) -> None:
    """Run the left side of a page, and ask it about a good and a bad token."""
    audience = LEFT[page][1]
    provider = EmbeddedProvider(audience=audience, algorithms=("RS256",))
    with provider.serve() as running:
        claims = {"scope": "orders.read", "scp": "orders.read", "ver": "2.0", "nbf": int(time.time())}  # as Entra's
        good, bad = (provider.mint(subject="ada", audience=whom, **claims) for whom in (audience, "another"))
        module = types.ModuleType("left")
        sys.modules["left"] = module
        module.__dict__["token"] = good
        code = left_side(page).replace("https://id.example.com", running.issuer)
        exec(compile(code, f"<{page}>", "exec", dont_inherit=True), module.__dict__)
        if "authenticate" in module.__dict__:
            assert module.authenticate(good)["sub"] == "ada"
            try:
                module.authenticate(bad)
            except Exception:  # whatever it raises
                return
            raise AssertionError("a token for another audience was taken")
        assert (answers(module.app, good), answers(module.app, bad) in (401, 422)) == (200, True)


def main() -> int:
    """Run every page's left side; answer 1 if one does not do what it should."""
    warnings.simplefilter("ignore")
    failed = 0
    for page in LEFT:
        try:
            run(page)
            print(f"{page}: runs, takes a good token and refuses one for another audience")
        except ImportError as error:
            print(f"{page}: not run, {error}")
        except Exception:
            failed = 1
            print(f"{page}: FAILED")
            traceback.print_exc()
    return failed


if __name__ == "__main__":
    sys.exit(main())
