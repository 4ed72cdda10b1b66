"""A standalone Flink cluster for ``flink run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flink_cluster import LOADED_CLASSES, FlinkCluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def flink_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    """Yield a cluster of three slots that all tests share; tests that break things start their own."""
    folder = tmp_path_factory.mktemp("flink")
    conf = {"env.java.opts.taskmanager": f"-Xlog:class+load:file={folder / LOADED_CLASSES}::filecount=0"}
    with FlinkCluster(folder, slots=3, conf=conf) as cluster:
        yield cluster
