"""Timestamps, watermarks and a key in one Python step instead of the two that PyFlink's own methods take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyflink.common import Row, Types, WatermarkStrategy
from pyflink.common.typeinfo import PickledBytesTypeInfo, TypeInformation
from pyflink.datastream import DataStream, KeyedStream
from pyflink.datastream.functions import ProcessFunction, RuntimeContext
from pyflink.java_gateway import get_gateway

from pyflink_prometheus import _validation
from pyflink_prometheus.flink.pickled import dumped


def key_by_with_timestamps(
    stream: DataStream,
    watermark_strategy: WatermarkStrategy,
    key_selector: Callable[[Any], Any],
    key_type: TypeInformation | None = None,
) -> KeyedStream:
    """
    Return ``stream.assign_timestamps_and_watermarks(watermark_strategy).key_by(key_selector, key_type)``, but faster.

    ::

        rows = key_by_with_timestamps(rows, strategy, lambda row: row["icao24"], Types.STRING())
        ordered = rows.process(Reorder())

    PyFlink sends each record to Python for its timestamp, back to Java, and to Python again for its key. Here, one
    function returns both, in the same Python step as a map upstream.

    :param watermark_strategy: with a timestamp assigner.
    :param key_selector: a function from a record to its key.
    :param key_type: the type of keys. Default: pickled.
    :raises ValueError: if the strategy has no timestamp assigner.
    """
    _validation.function("key_selector", key_selector)
    assigner = watermark_strategy._timestamp_assigner
    if assigner is None:
        raise ValueError("watermark_strategy: add .with_timestamp_assigner(...), or use the stream's own key_by")
    j_stream = stream._j_data_stream
    record_type, parallelism = stream.get_type(), j_stream.getTransformation().getParallelism()
    keyed_type = Types.ROW([key_type or Types.PICKLED_BYTE_ARRAY(), record_type])
    pickles = isinstance(record_type, PickledBytesTypeInfo)
    # To Java, a pickled record is an array of bytes, no matter what pickled it.
    sent_type = Types.ROW([keyed_type.get_field_types()[0], Types.PRIMITIVE_ARRAY(Types.BYTE())])
    stamped = stream.process(
        _TimestampAndKey(assigner.extract_timestamp, key_selector, keyed_type.get_field_names(), pickles=pickles),
        Types.TUPLE([sent_type if pickles else keyed_type, Types.LONG()]),
    )
    # The parallelism of the stream upstream, so that records are not distributed until keyed, and stay in order.
    stamped.name("Timestamps and keys").set_parallelism(parallelism)
    jvm = get_gateway().jvm
    functions = jvm.org.apache.flink.streaming.api.functions.python.eventtime
    j_strategy = watermark_strategy._j_watermark_strategy.withTimestampAssigner(functions.CustomTimestampAssigner())
    j_watermarked = stamped._j_data_stream.assignTimestampsAndWatermarks(j_strategy)
    j_keyed_type = keyed_type.get_java_type_info()
    j_keyed = j_watermarked.map(functions.RemoveTimestampMapFunction(), j_keyed_type)
    j_keyed.name("Remove-Timestamp").setParallelism(parallelism)
    j_key_type = Types.ROW([keyed_type.get_field_types()[0]]).get_java_type_info()
    return KeyedStream(j_keyed.keyBy(jvm.KeyByKeySelector(), j_key_type), record_type, stream)


class _TimestampAndKey(ProcessFunction):
    """
    A function from a record to itself with its key and its timestamp.

    :param pickles: whether it pickles the record itself; PyFlink would always use cloudpickle, which takes much longer.
    """

    def __init__(
        self,
        timestamp: Callable[[Any, int], int],
        key: Callable[[Any], Any],
        names: Sequence[str],
        *,
        pickles: bool,
    ) -> None:
        self._timestamp = timestamp
        self._key = key
        self._names = list(names)
        self._pickles = pickles

    def open(self, runtime_context: RuntimeContext) -> None:
        """Make one row for all records to use in turn; each is encoded before the next one comes."""
        self._keyed = Row(None, None)
        self._keyed.set_field_names(self._names)  # otherwise PyFlink would look for them each time

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Sequence[Any]:
        """Emit a record's key, the record, and its timestamp."""
        keyed = self._keyed
        keyed[0], keyed[1] = self._key(value), dumped(value) if self._pickles else value
        return ((keyed, self._timestamp(value, ctx.timestamp())),)
