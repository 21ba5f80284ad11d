"""``python -m bench.table_serial``: how much of the job of ``bench.tables`` only one thread can do at a time.

Each part is timed by itself, in processor time: reading the file, the Python around each window (which
holds the interpreter's lock), writing results, and making the Parquet file of them. The rest scales with cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.many import AUDIENCE, ISSUER, tokens
from bench.tables import write_source
from py_identity_model import TokenValidator
from py_identity_model._bulk_files import TokenFile
from py_identity_model._bulk_tables import RowTables, windows_of, write_parquet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.columns import columns_of


class Timed:
    """What the native engine takes of the time."""

    def __init__(self, judge: Any) -> None:
        self._judge, self.seconds = judge, 0.0

    def columns_many(self, *arguments: Any) -> Any:
        """Do it, and count the time."""
        began = time.process_time()
        found = self._judge.columns_many(*arguments)
        self.seconds += time.process_time() - began
        return found


def main() -> None:
    """Measure and print microseconds per token."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    key = SigningKey.generate("RS256", kid="k1")
    validator = TokenValidator(ISSUER, AUDIENCE, keys=key.public_jwk, engine="native")
    validator.validate(tokens(key, 1)[0])
    snapshot = validator._validator.by_issuer[ISSUER].snapshot
    assert snapshot is not None
    engine = Timed(snapshot.judge)
    snapshot.__setattr__("judge", engine)
    tables = RowTables(validator, columns_of(["sub", "exp"]))
    with tempfile.TemporaryDirectory() as folder:
        source, stream = Path(folder) / "tokens.parquet", Path(folder) / "stream"
        write_source(source, rows, key)
        times = [time.process_time()]
        for _ in windows_of(TokenFile(source), 0):
            pass
        times.append(time.process_time())
        windows = list(windows_of(TokenFile(source), 0))
        times.append(time.process_time())
        parts = [tables.part(one.first, one.tokens) for one in windows]
        times.append(time.process_time())
        with stream.open("wb") as file:
            file.write(tables.head())
            file.writelines(part.lines for part in parts)
        times.append(time.process_time())
        write_parquet(stream, Path(folder) / "out.parquet")
        times.append(time.process_time())
    read, _, judged, written, made = (after - before for before, after in pairwise(times))
    found = {
        "read": read,
        "Python": judged - engine.seconds,
        "write": written,
        "Parquet": made,
        "engine": engine.seconds,
    }
    print({name: round(seconds / rows * 1e6, 3) for name, seconds in found.items()})


if __name__ == "__main__":
    main()
