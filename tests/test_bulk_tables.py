"""Files of tokens to Parquet: the same verdicts in columns, over threads and processes, taken up where they stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from py_identity_model import _bulk_job as bulk_job
from py_identity_model import _bulk_tables as bulk_tables
from py_identity_model._bulk_job import Progress, validate_file
from py_identity_model._core.validation import columns as columns_module
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.sync._validation import TokenValidator
from test_bulk import EXPIRED, FOREIGN, GOOD, PROVIDER, SAID, TOKENS, write

pytestmark = pytest.mark.needs("pyarrow")
CODES = [None] * 5 + ["token_expired", "audience_mismatch"] + ["token_malformed"] * 3 + [None]


@pytest.fixture
def validator(engine: str) -> TokenValidator:
    """A validator with static keys, by each engine that is installed."""
    return TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set(), engine=engine)


def table_of(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_parquet_file_has_verdicts_and_claims(
    tmp_path: Path, validator: TokenValidator, monkeypatch: pytest.MonkeyPatch, form: str, workers: int
) -> None:
    """Rows, verdicts, codes and claims stand in columns, whoever did the work, and the summary counts the same."""
    monkeypatch.setattr(columns_module, "COLUMN_WINDOW", 7)
    monkeypatch.setattr(bulk_tables, "COLUMN_WINDOW", 7)
    write(tmp_path / f"tokens.{form}", form, TOKENS * 3)
    output = tmp_path / "verdicts.parquet"
    summary = validate_file(
        tmp_path / f"tokens.{form}", validator, output, claims={"sub": str, "exp": int}, workers=workers
    )
    table = table_of(output)
    assert table.column_names == ["row", "verdict", "code", "sub", "exp", "misfits"]
    assert table["row"].to_pylist() == list(range(1, len(TOKENS) * 3 + 1))
    assert table["verdict"].to_pylist() == SAID * 3
    assert table["code"].to_pylist() == CODES * 3
    assert table["sub"].to_pylist()[:6] == [f"user-{number}" for number in range(5)] + [None]
    assert (summary.rows, summary.valid, sum(summary.refused.values())) == (33, 18, 15)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"tokens.{form}", output.name]
    assert output.stat().st_mode & 0o077 == 0


def test_an_interrupted_job_goes_on_in_its_columns(tmp_path: Path, validator: TokenValidator, monkeypatch: Any) -> None:
    """What was written before the interrupt is kept, every row is there once, and another job is refused."""
    monkeypatch.setattr(bulk_tables, "COLUMN_WINDOW", 4)
    source, output = tmp_path / "tokens.parquet", tmp_path / "verdicts.parquet"
    write(source, "parquet", TOKENS * 3)

    def stop(reached: Progress) -> None:
        if reached.rows >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate_file(source, validator, output, claims=["sub"], workers=1, progress=stop)
    assert not output.exists()
    with pytest.raises(ConfigurationException) as caught:
        validate_file(source, validator, output, claims=["sub", "exp"], workers=1)
    assert caught.value.code == "job_changed"
    summary = validate_file(source, validator, output, claims=["sub"], workers=1)
    assert 12 <= summary.resumed < summary.rows == 33
    assert table_of(output)["row"].to_pylist() == list(range(1, 34))
    assert table_of(output)["verdict"].to_pylist() == SAID * 3


@pytest.mark.parametrize("kind", ["large_string", "dictionary", "int64"])
def test_columns_of_other_kinds_are_read(tmp_path: Path, validator: TokenValidator, kind: str) -> None:
    """Large strings and dictionaries are tokens too; numbers are refused row by row."""
    import pyarrow
    from pyarrow import parquet

    types = {"large_string": pyarrow.large_string(), "int64": pyarrow.int64()}
    types["dictionary"] = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    values = pyarrow.array([1, 2, None]) if kind == "int64" else pyarrow.array([*GOOD, None, EXPIRED]).cast(types[kind])
    parquet.write_table(pyarrow.table({"token": values}), tmp_path / "tokens.parquet")
    validate_file(tmp_path / "tokens.parquet", validator, tmp_path / "out.parquet", workers=1)
    expected = ["refused"] * 3 if kind == "int64" else ["valid"] * 5 + ["refused"] * 2
    assert table_of(tmp_path / "out.parquet")["verdict"].to_pylist() == expected


def test_an_empty_file_makes_an_empty_table(tmp_path: Path, validator: TokenValidator) -> None:
    """No tokens, no rows, and the columns are there."""
    write(tmp_path / "tokens.jsonl", "jsonl", [])
    validate_file(tmp_path / "tokens.jsonl", validator, tmp_path / "out.parquet", claims=["sub"])
    assert table_of(tmp_path / "out.parquet").num_rows == 0


def test_json_lines_have_the_claims_that_are_named(tmp_path: Path, validator: TokenValidator) -> None:
    """Names choose the claims of JSON Lines too; a Parquet file needs names."""
    write(tmp_path / "tokens.jsonl", "jsonl", [GOOD[0], FOREIGN])
    validate_file(tmp_path / "tokens.jsonl", validator, tmp_path / "out.jsonl", claims=["sub", "none"], workers=1)
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert (first["claims"], "claims" in second) == ({"sub": "user-0"}, False)
    with pytest.raises(ConfigurationException) as caught:
        validate_file(tmp_path / "tokens.jsonl", validator, tmp_path / "out.parquet", claims=True)
    assert (caught.value.code, caught.value.claim) == ("policy_invalid", "claims")


@pytest.mark.needs("native engine")
def test_threads_do_the_work_where_python_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The native engine's windows go over threads; a validator of the application's has them go over processes."""
    started: list[str] = []
    monkeypatch.setattr(
        bulk_job, "_processes", lambda *_: started.append("processes") or bulk_job.ThreadPoolExecutor(2)
    )
    monkeypatch.setattr(bulk_job, "_work_on_columns", lambda first, tokens, columns: tables.part(first, listed(tokens)))
    listed = bulk_job.Listed
    monkeypatch.setattr(bulk_tables, "COLUMN_WINDOW", 3)
    write(tmp_path / "tokens.jsonl", "jsonl", TOKENS)
    for number, options in enumerate(({}, {"required_claims": ["sub"]}, {"engine": "pure"})):
        validator = TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set(), **{"engine": "native", **options})
        tables = bulk_tables.RowTables(validator, ())
        validate_file(tmp_path / "tokens.jsonl", validator, tmp_path / f"{number}.parquet", workers=2)
    assert started == ["processes"]
