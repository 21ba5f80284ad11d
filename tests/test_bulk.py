"""Very many tokens: batch functions for data engines, and the job over a file that can be taken up again."""

from __future__ import annotations

import json
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import py_identity_model.aio as aio
from py_identity_model import _bulk_files as bulk_files
from py_identity_model import _bulk_job as bulk_job
from py_identity_model import _file_lock as file_lock
from py_identity_model._bulk_job import Progress, Summary, WorkerDied, validate_file
from py_identity_model._core.discovery.trust import Stores
from py_identity_model.bulk import BatchValidator, pickled, verdict
from py_identity_model.exceptions import ConfigurationException, NetworkException, TokenExpiredException
from py_identity_model.settings import Settings
from py_identity_model.sync._validation import TokenValidator
from py_identity_model.testing import EmbeddedProvider

PROVIDER = EmbeddedProvider()
GOOD = [PROVIDER.mint(audience="api", subject=f"user-{number}", expires_in=86400) for number in range(5)]
EXPIRED = PROVIDER.mint(audience="api", expires_in=-60)
FOREIGN = PROVIDER.mint(audience="other", expires_in=86400)
#: Tokens of every fate, and what is said of them.
TOKENS: list[Any] = [*GOOD, EXPIRED, FOREIGN, "garbage", "", None, GOOD[0]]
SAID = ["valid"] * 5 + ["refused"] * 5 + ["valid"]


@pytest.fixture
def validator(engine: str) -> TokenValidator:
    """A validator with static keys, by each engine that is installed."""
    return TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set(), engine=engine)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of JSON Lines with all tokens, many times over."""
    path = tmp_path / "tokens.jsonl"
    path.write_text("".join(json.dumps({"id": at, "token": token}) + "\n" for at, token in enumerate(TOKENS * 40)))
    return path


def results(path: Path) -> list[dict[str, Any]]:
    """Read a file of results."""
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- the batch function


def test_columns_get_verdicts(validator: TokenValidator) -> None:
    """A dict of columns comes back with verdicts and codes, and without tokens."""
    judged = BatchValidator(validator)({"id": list(range(len(TOKENS))), "token": TOKENS})
    assert list(judged) == ["id", "verdict", "code"]
    assert judged["verdict"] == SAID
    assert judged["code"][5:8] == ["token_expired", "audience_mismatch", "token_malformed"]
    assert judged["code"][0] is None


def test_claims_come_on_request(validator: TokenValidator) -> None:
    """With claims=True valid rows have their claims as JSON text, others have none."""
    judged = BatchValidator(validator, "t", claims=True)({"t": TOKENS})
    assert json.loads(judged["claims"][1])["sub"] == "user-1"
    assert judged["claims"][5] is None


def test_rows_get_verdicts(validator: TokenValidator) -> None:
    """A list of rows comes back as dicts, whether the rows were dicts or bare tokens."""
    judge = BatchValidator(validator)
    assert judge([{"id": 7, "token": GOOD[0]}, {"id": 8}]) == [
        {"id": 7, "verdict": "valid", "code": None},
        {"id": 8, "verdict": "refused", "code": "token_malformed"},
    ]
    assert [row["verdict"] for row in judge(iter([GOOD[0], EXPIRED]))] == ["valid", "refused"]
    assert judge([]) == []


@pytest.mark.needs("pandas")
def test_pandas_frames_get_verdicts(validator: TokenValidator) -> None:
    """A DataFrame comes back as one, with its other columns and its index; so do those of an iterator."""
    import pandas

    frame = pandas.DataFrame({"id": range(len(TOKENS)), "token": TOKENS}, index=range(100, 100 + len(TOKENS)))
    for judged in (BatchValidator(validator)(frame), next(BatchValidator(validator).frames(iter([frame])))):
        assert list(judged.columns) == ["id", "verdict", "code"]
        assert judged["verdict"].tolist() == SAID
        assert judged.index.tolist() == frame.index.tolist()
    assert "token" in frame.columns


@pytest.mark.filterwarnings("ignore")
@pytest.mark.needs("pandas", "pyarrow")
def test_dask_frames_get_verdicts() -> None:
    """The partitions of a Dask DataFrame are judged, and Dask finds out the new columns by itself."""
    import dask.dataframe as frames
    import pandas

    judge = BatchValidator(TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set()))
    frame = frames.from_pandas(pandas.DataFrame({"id": range(len(TOKENS)), "token": TOKENS}), npartitions=3)
    lazy = frame.map_partitions(judge)
    assert list(lazy.columns) == ["id", "verdict", "code"]
    assert lazy.compute(scheduler="sync")["verdict"].tolist() == SAID


@pytest.mark.needs("pyarrow")
def test_arrow_tables_get_verdicts(validator: TokenValidator) -> None:
    """A pyarrow Table comes back as one, with text columns whatever their values."""
    import pyarrow

    table = pyarrow.table({"id": [1, 2], "token": [GOOD[0], GOOD[1]]})
    judged = BatchValidator(validator)(table)
    assert judged.column_names == ["id", "verdict", "code"]
    assert judged.schema.field("code").type == pyarrow.string()
    assert judged["verdict"].to_pylist() == ["valid", "valid"]


@pytest.mark.needs("NumPy")
def test_arrays_get_arrays(validator: TokenValidator) -> None:
    """A dict of NumPy arrays, as Ray Data has them, comes back as such."""
    import numpy

    for kind in (object, str):
        judged = BatchValidator(validator)({"id": numpy.arange(2), "token": numpy.array([GOOD[0], "x"], dtype=kind)})
        assert isinstance(judged["verdict"], numpy.ndarray)
        assert judged["verdict"].tolist() == ["valid", "refused"]


def test_a_batch_needs_its_column(validator: TokenValidator) -> None:
    """A batch without the column of tokens is a mistake, not a batch of refusals."""
    with pytest.raises(ConfigurationException) as caught:
        BatchValidator(validator, "jwt")({"token": [GOOD[0]]})
    assert caught.value.code == "column_missing"


def test_only_the_blocking_validator_will_do() -> None:
    """The batch function takes the TokenValidator of the blocking API."""
    with pytest.raises(ConfigurationException):
        BatchValidator(aio.TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set()))  # type: ignore[arg-type]


def test_what_could_not_be_verified_is_not_refused() -> None:
    """A token whose issuer cannot be asked is unverified: that is no verdict on the token."""
    found = verdict(NetworkException("gone", code="discovery_failed"))
    assert found == {"verdict": "unverified", "code": "discovery_failed", "message": "gone"}
    assert verdict(TokenExpiredException("old"))["verdict"] == "refused"


def test_the_batch_function_travels(validator: TokenValidator) -> None:
    """A pickled batch function does on the other side what it did here."""
    judge = pickle.loads(pickled(BatchValidator(validator, claims=True)))
    assert judge({"token": TOKENS}) == BatchValidator(validator, claims=True)({"token": TOKENS})


def test_what_cannot_travel_says_so() -> None:
    """A validator with a function of the moment cannot be sent, and the error names the usual suspects."""
    validator = TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set(), claims_validator=lambda claims: None)
    with pytest.raises(ConfigurationException) as caught:
        pickled(BatchValidator(validator))
    assert "claims_validator" in str(caught.value.hint)


# ---- files


def write(path: Path, form: str, tokens: list[Any]) -> None:
    """Write a file of tokens, and of ids, in any format."""
    if form == "jsonl":
        path.write_text("".join(json.dumps({"id": at, "token": token}) + "\n" for at, token in enumerate(tokens)))
    elif form == "csv":
        lines = [f'{at},"{token or ""}"\r\n' for at, token in enumerate(tokens)]
        path.write_bytes(("\ufeffid,token\r\n" + "".join(lines)).encode())
    elif form == "lines":
        path.write_text("".join(f"{token or ''}\n" for token in tokens))
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"id": range(len(tokens)), "token": tokens}), path, row_group_size=4)


PARQUET = pytest.param("parquet", marks=pytest.mark.needs("pyarrow"))


@pytest.mark.parametrize("form", ["jsonl", "csv", PARQUET, "lines"])
def test_every_format_is_read(tmp_path: Path, validator: TokenValidator, form: str) -> None:
    """The same tokens give the same verdicts from any format, which the name of the file tells."""
    path = tmp_path / f"tokens.{ {'jsonl': 'ndjson', 'csv': 'CSV', 'lines': 'txt'}.get(form, form) }"
    write(path, form, TOKENS)
    output = tmp_path / "out.jsonl"
    summary = validate_file(path, validator, output, workers=1)
    found = results(output)
    assert [row["row"] for row in found] == list(range(1, len(TOKENS) + 1))
    assert [row["verdict"] for row in found] == SAID
    assert (summary.rows, summary.valid) == (len(TOKENS), 6)
    assert summary.refused == {"token_expired": 1, "audience_mismatch": 1, "token_malformed": 3}
    assert summary.unverified == {}


@pytest.mark.parametrize("form", ["jsonl", "csv", PARQUET, "lines"])
@pytest.mark.parametrize("skip", [0, 1, 3, 4, 10, 11, 99])
def test_rows_can_be_skipped(tmp_path: Path, form: str, skip: int) -> None:
    """A reader that goes on after some rows gets exactly the others, with their numbers."""
    path = tmp_path / "tokens"
    write(path, form, TOKENS)
    rows = list(bulk_files.TokenFile(path, form).rows(4, skip=skip))
    tokens = [token or None for some in rows for token in some.tokens]
    assert tokens == [token or None for token in TOKENS[skip:]]
    assert [some.first for some in rows[:1]] == [skip + 1][: len(rows)]


def test_a_row_that_is_none_is_refused(tmp_path: Path, validator: TokenValidator) -> None:
    """What is no JSON, or JSON without a token, is a refused row and stops nothing; a bare string is a token."""
    path = tmp_path / "tokens.jsonl"
    path.write_bytes(b'{"token": \n[1]\n{"other": 1}\n\xff\n\n"' + GOOD[0].encode() + b'"')
    output = tmp_path / "out.jsonl"
    validate_file(path, validator, output, workers=1)
    assert [row["verdict"] for row in results(output)] == ["refused"] * 5 + ["valid"]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("tokens.xml", b"", "format_unknown"),
        ("tokens.csv", b"id,jwt\n1,2\n", "column_missing"),
        ("tokens.csv", b"", "column_missing"),
        ("tokens.csv", b"token\n\xff\n", "file_unreadable"),
        pytest.param("tokens.parquet", b"PAR1", "file_unreadable", marks=pytest.mark.needs("pyarrow")),
    ],
)
def test_files_that_make_no_sense_are_refused(
    tmp_path: Path, validator: TokenValidator, name: str, content: bytes, code: str
) -> None:
    """A file of another kind than it should be is the caller's mistake."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationException) as caught:
        validate_file(tmp_path / name, validator, workers=1)
    assert caught.value.code == code


def test_parquet_needs_its_package(tmp_path: Path, validator: TokenValidator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow a Parquet file is refused with the line that installs it."""
    path = tmp_path / "tokens.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationException) as caught:
        validate_file(path, validator)
    assert caught.value.hint == "pip install 'py-identity-model[parquet]'"


@pytest.mark.needs("pyarrow")
def test_a_parquet_file_needs_the_column(tmp_path: Path, validator: TokenValidator) -> None:
    """A Parquet file without the column of tokens is refused."""
    path = tmp_path / "tokens.parquet"
    write(path, "parquet", TOKENS)
    with pytest.raises(ConfigurationException) as caught:
        validate_file(path, validator, column="jwt")
    assert caught.value.code == "column_missing"


def test_a_file_that_vanishes_is_told_of(tmp_path: Path, validator: TokenValidator, source: Path) -> None:
    """A file that cannot be opened any more when it is read is the caller's problem, in our words."""
    file = bulk_files.TokenFile(source)
    source.unlink()
    with pytest.raises(ConfigurationException) as caught:
        list(file.rows(10))
    assert caught.value.code == "file_unreadable"


def test_a_missing_file_is_told_of(tmp_path: Path, validator: TokenValidator) -> None:
    """A file that is not there is the caller's mistake."""
    with pytest.raises(ConfigurationException) as caught:
        validate_file(tmp_path / "none.jsonl", validator)
    assert caught.value.code == "file_unreadable"


# ---- the job


def test_processes_give_what_one_process_gives(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread over two processes the results are the same, to the byte and in order, and so is the summary."""
    monkeypatch.setattr(bulk_job, "ROWS", 17)
    validator = TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set())
    alone = validate_file(source, validator, tmp_path / "one.jsonl", workers=1, claims=True)
    both = validate_file(source, validator, tmp_path / "two.jsonl", workers=2, claims=True)
    assert strip((tmp_path / "one.jsonl").read_text()) == strip((tmp_path / "two.jsonl").read_text())
    assert (both.rows, both.valid, both.refused) == (alone.rows, alone.valid, alone.refused)
    assert both.rows == len(TOKENS) * 40
    assert both.rate > 0


def strip(text: str) -> list[Any]:
    """Return results without what names the time of day."""
    rows = [json.loads(line) for line in text.splitlines()]
    return [{name: value for name, value in row.items() if name != "message"} for row in rows]


def test_results_hold_no_token(tmp_path: Path, source: Path, validator: TokenValidator) -> None:
    """Nothing that is written holds a token or its signature, and nobody else may read it."""
    output = tmp_path / "out.jsonl"
    validate_file(source, validator, output, workers=1, claims=True)
    text = output.read_text()
    assert not any(part in text for token in (*GOOD, EXPIRED, FOREIGN) for part in token.split("."))
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert results(output)[0]["claims"]["sub"] == "user-0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "tokens.jsonl"]


class Interrupted(Exception):
    """Stands for whatever ends a job early."""


def interrupt(after: int) -> Callable[[Progress], None]:
    """Return a progress function that ends the job."""

    def progress(now: Progress) -> None:
        if now.rows >= after:
            raise Interrupted

    return progress


@pytest.mark.parametrize("form", ["jsonl", "csv", PARQUET])
def test_an_interrupted_job_goes_on(
    tmp_path: Path, validator: TokenValidator, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Started again it goes on where it was: every row is there once, and the summary counts all of them."""
    monkeypatch.setattr(bulk_job, "ROWS", 7)
    path, output = tmp_path / f"tokens.{form}", tmp_path / "out.jsonl"
    write(path, form, TOKENS * 9)
    with pytest.raises(Interrupted):
        validate_file(path, validator, output, workers=1, progress=interrupt(30))
    assert not output.exists()
    with pytest.raises(Interrupted):
        validate_file(path, validator, output, workers=1, progress=interrupt(60))
    with (tmp_path / "out.jsonl.part").open("ab") as part:  # as a crash after the last record leaves it
        part.write(b'{"row": half a ' * 1000)
    summary = validate_file(path, validator, output, workers=1)
    assert [row["row"] for row in results(output)] == list(range(1, len(TOKENS) * 9 + 1))
    assert [row["verdict"] for row in results(output)] == SAID * 9
    assert (summary.rows, summary.resumed, summary.valid) == (99, 63, 54)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["out.jsonl", path.name])


def test_the_record_is_never_ahead(tmp_path: Path, validator: TokenValidator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a job dies, what it recorded is in the results: nothing is lost."""
    monkeypatch.setattr(bulk_job, "ROWS", 5)
    monkeypatch.setattr(bulk_job, "RECORD_EVERY", 0.0)
    path, output = tmp_path / "tokens.jsonl", tmp_path / "out.jsonl"
    write(path, "jsonl", TOKENS)
    seen: list[int] = []

    def look(now: Progress) -> None:
        state = json.loads((tmp_path / "out.jsonl.state").read_text())
        written = (tmp_path / "out.jsonl.part").read_bytes()[: state["written"]]
        assert written.count(b"\n") == state["summary"]["rows"] == now.rows
        seen.append(now.rows)

    validate_file(path, validator, output, workers=1, progress=look)
    assert seen == [5, 10, 11]


def test_another_job_is_not_mixed_in(tmp_path: Path, source: Path, validator: TokenValidator) -> None:
    """A job that was interrupted goes on with the same file and policy only; with restart it begins anew."""
    output = tmp_path / "out.jsonl"
    with pytest.raises(Interrupted):
        validate_file(source, validator, output, workers=1, progress=interrupt(1))
    other = TokenValidator(PROVIDER.issuer, "other", keys=PROVIDER.key_set())
    with pytest.raises(ConfigurationException) as caught:
        validate_file(source, other, output, workers=1)
    assert caught.value.code == "job_changed"
    summary = validate_file(source, other, output, workers=1, restart=True)
    assert (summary.valid, summary.resumed) == (40, 0)
    with pytest.raises(ConfigurationException) as caught:
        validate_file(source, other, output, workers=1)
    assert caught.value.code == "output_exists"
    assert validate_file(source, other, output, workers=1, restart=True).valid == 40


@pytest.mark.parametrize("damage", ["state", "part"])
def test_a_damaged_record_is_refused(tmp_path: Path, source: Path, validator: TokenValidator, damage: str) -> None:
    """A record that cannot be read, or results that are shorter than it says, are not built upon."""
    output = tmp_path / "out.jsonl"
    with pytest.raises(Interrupted):
        validate_file(source, validator, output, workers=1, progress=interrupt(1))
    (tmp_path / f"out.jsonl.{damage}").write_bytes(b"{")
    with pytest.raises(ConfigurationException) as caught:
        validate_file(source, validator, output, workers=1)
    assert caught.value.code == "state_unreadable"


def test_an_output_that_cannot_be_written_is_told_of(tmp_path: Path, source: Path, validator: TokenValidator) -> None:
    """A folder that is not there is the caller's mistake."""
    with pytest.raises(ConfigurationException) as caught:
        validate_file(source, validator, tmp_path / "none" / "out.jsonl", workers=1)
    assert caught.value.code == "output_unwritable"


def test_two_jobs_never_share_an_output(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one job writes, a second one with the same output is refused and the first is not disturbed."""
    monkeypatch.setattr(bulk_job, "ROWS", 100)
    validator = TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set())
    output, codes = tmp_path / "out.jsonl", []

    def intrude(now: Progress) -> None:
        for restart in (False, True):
            with pytest.raises(ConfigurationException) as caught:
                validate_file(source, validator, output, workers=1, restart=restart)
            codes.append(caught.value.code)

    assert validate_file(source, validator, output, workers=1, progress=intrude).rows == len(TOKENS) * 40
    assert set(codes) == {"output_in_use"}
    assert len(results(output)) == len(TOKENS) * 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "tokens.jsonl"]


HOLD_AND_DIE = """
import os, sys
from pathlib import Path
from py_identity_model._file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
os._exit(9)
"""


def test_the_lock_of_a_dead_job_is_free(tmp_path: Path, source: Path) -> None:
    """Another process's lock counts while it lives; what a process that was killed leaves behind does not."""
    validator = TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set())
    output = tmp_path / "out.jsonl"
    lock = tmp_path / "out.jsonl.lock"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD_AND_DIE, str(lock)], **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigurationException) as caught:
            validate_file(source, validator, output, workers=1)
        assert caught.value.code == "output_in_use"
        holder.communicate("die\n", timeout=30)
    assert lock.exists()
    assert validate_file(source, validator, output, workers=1).rows == len(TOKENS) * 40
    assert not lock.exists()


def test_a_lock_whose_file_was_taken_away_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that opened the file just before its last holder took it away must not go on with it."""
    path, real = tmp_path / "lock", file_lock._take

    def taken_away(descriptor: int) -> None:
        real(descriptor)
        path.unlink()

    monkeypatch.setattr(file_lock, "_take", taken_away)
    with pytest.raises(BlockingIOError):
        file_lock.FileLock(path)


def test_a_disk_that_fails_is_told_of(
    tmp_path: Path, source: Path, validator: TokenValidator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system refuses while results are written is our own exception, and the lock is let go of."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bulk_job.os, "fsync", full)
    with pytest.raises(ConfigurationException) as caught:
        validate_file(source, validator, tmp_path / "out.jsonl", workers=1)
    assert caught.value.code == "output_unwritable"
    assert not (tmp_path / "out.jsonl.lock").exists()


def test_a_small_file_needs_no_processes(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one worker would do alone is done here, whatever the number of workers."""
    monkeypatch.setattr(bulk_job, "ProcessPoolExecutor", lambda *args, **options: pytest.fail("a process was started"))
    validator = TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set())
    assert validate_file(source, validator, workers=2).rows == len(TOKENS) * 40


def test_a_job_fetches_its_keys_first(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are fetched once, before the first row, and sent to every worker: none asks the provider."""
    monkeypatch.setattr(bulk_job, "ROWS", 17)
    provider = EmbeddedProvider()
    with provider.serve():
        path = source.with_name("served.jsonl")
        path.write_text("".join(json.dumps(provider.mint(audience="api")) + "\n" for _ in range(60)))
        validator = TokenValidator(provider.issuer, "api")
        assert validate_file(path, validator, workers=2).valid == 60
        assert provider.count() == 2
        with provider.fault(404), pytest.raises(NetworkException):
            validate_file(path, TokenValidator(provider.issuer, "api", stores=Stores("sync", Settings())))


def test_a_job_without_output_counts(source: Path, validator: TokenValidator) -> None:
    """Without an output there is the summary alone."""
    reached: list[Progress] = []
    summary = validate_file(source, validator, workers=1, progress=reached.append)
    assert summary.as_dict()["valid"] == 240
    assert reached[-1] == Progress(source.stat().st_size, source.stat().st_size, summary.rows)


def test_no_file_is_read_faster_than_it_is_judged(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job reads ahead no more rows than keep its workers busy."""
    monkeypatch.setattr(bulk_job, "ROWS", 10)
    ahead: list[int] = []
    inner = bulk_files.TokenFile.rows

    def counting(self: Any, *args: Any, **options: Any) -> Any:
        for some in inner(self, *args, **options):
            ahead.append(some.first)
            yield some

    monkeypatch.setattr(bulk_files.TokenFile, "rows", counting)
    most: list[int] = []
    validate_file(
        source,
        TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set()),
        workers=2,
        progress=lambda now: most.append(len(ahead) * 10 - now.rows),
    )
    assert max(most) <= 60


def test_a_dead_worker_ends_the_job(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a worker process is ended from outside, the job says so, keeps what it has, and leaves nothing running."""
    monkeypatch.setattr(bulk_job, "ROWS", 17)
    validator = TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set(), claims_validator=fatal)
    before = threading.active_count()
    with pytest.raises(WorkerDied):
        validate_file(source, validator, tmp_path / "out.jsonl", workers=2)
    assert (tmp_path / "out.jsonl.state").exists()
    assert threading.active_count() <= before


def fatal(claims: dict[str, Any]) -> None:
    """End this very process."""
    import os

    os._exit(1)


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, 1025])
def test_a_number_of_workers_that_makes_no_sense_is_refused(source: Path, validator: Any, workers: Any) -> None:
    """There is one worker at least."""
    with pytest.raises(ConfigurationException):
        validate_file(source, validator, workers=workers)


def test_a_summary_counts() -> None:
    """The rate leaves out what an earlier run did."""
    summary = Summary(rows=300, resumed=100, seconds=2.0)
    assert summary.rate == 100
    assert Summary().rate == 0
