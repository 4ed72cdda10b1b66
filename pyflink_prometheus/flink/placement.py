"""The writer's place in the job graph, as set on the sink's builder."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Transport(Enum):
    """
    How records reach the writer's Python process.

    The samples, their order and all guarantees are the same; only the cost per record differs.
    """

    AUTO = "auto"
    """ARROW where it is faster and loses nothing, else RECORDS."""
    ARROW = "arrow"
    """In batches of columns. Streams that cannot be passed this way are refused when the job is built."""
    RECORDS = "records"
    """One by one."""


@dataclass(frozen=True, slots=True)
class Placement:
    """
    The writer's place in the job graph; ``None`` leaves an attribute to Flink.

    :ivar name: the name of the writer's operator.
    :ivar uid: the uid of the writer's operator; the operators added around it get uids that begin with this one.
    :ivar parallelism: the number of the writer's subtasks.
    :ivar key_columns: records with the same values in these go to the same subtask.
    :ivar transport: how records reach the writer.
    """

    name: str = "Prometheus writer"
    uid: str | None = None
    parallelism: int | None = None
    key_columns: tuple[str, ...] = ()
    transport: Transport = Transport.AUTO
