"""A standalone Flink cluster for ``flink run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flink_cluster import FlinkCluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def flink_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    """Yield a cluster of two slots that all tests share; tests that break things start their own."""
    with FlinkCluster(tmp_path_factory.mktemp("flink"), slots=2) as cluster:
        yield cluster
