"""A standalone Flink cluster, as ``flink run`` needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flink_cluster import FlinkCluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def flink_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    """Give a cluster of two slots that all tests share; a test that breaks things starts one of its own."""
    with FlinkCluster(tmp_path_factory.mktemp("flink"), slots=2) as cluster:
        yield cluster
