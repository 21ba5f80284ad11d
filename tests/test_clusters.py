"""The batch function on real clusters of two workers, Dask and Ray Data: slow to start, so they stand apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from py_identity_model.bulk import BatchValidator
from py_identity_model.sync._validation import TokenValidator
from py_identity_model.testing import EmbeddedProvider

pytestmark = pytest.mark.filterwarnings("ignore")  # of programs that are not ours, and of what they leave open

PROVIDER = EmbeddedProvider()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Rows with tokens of several fates; their ids tell which."""
    good = [PROVIDER.mint(audience="api", subject=f"user-{number}") for number in range(3)]
    tokens = [*good, PROVIDER.mint(audience="api", expires_in=-60), PROVIDER.mint(audience="other"), "garbage"]
    return [{"id": at, "token": token} for at, token in enumerate(tokens * 8)]


@pytest.fixture
def judge() -> BatchValidator:
    """The function that is sent to the workers, keys and all."""
    return BatchValidator(TokenValidator(PROVIDER.issuer, "api", keys=PROVIDER.key_set()))


def said(judged: list[dict[str, Any]]) -> list[str]:
    """Return the verdicts in the order of the ids."""
    return [row["verdict"] for row in sorted(judged, key=lambda row: row["id"])]


EXPECTED = (["valid"] * 3 + ["refused"] * 3) * 8


def test_a_dask_cluster_validates(tmp_path: Path, rows: list[dict[str, Any]], judge: BatchValidator) -> None:
    """On a cluster of two Dask workers the function judges the partitions of a bag."""
    import distributed
    from dask import bag

    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        local_directory=str(tmp_path),
        silence_logs=50,
    )
    with cluster, distributed.Client(cluster):
        judged = bag.from_sequence(rows, npartitions=4).map_partitions(judge).compute()
    assert said(judged) == EXPECTED


@pytest.mark.needs("Ray")
def test_a_ray_cluster_validates(
    rows: list[dict[str, Any]], judge: BatchValidator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a local Ray cluster of two workers the function judges the batches of a data set."""
    import ray
    from ray import data

    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "240")  # it is slow to start beside other tests
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        judged = data.from_items(rows, override_num_blocks=2).map_batches(judge).take_all()
    finally:
        ray.shutdown()
    assert said(judged) == EXPECTED
