"""The cost of a record at an exchange between two Flink operators, by its type: PyFlink pickles it with this coder."""

from __future__ import annotations

from collections.abc import Callable

from measure import parser, report, side_by_side
from pyflink.fn_execution.coder_impl_slow import CloudPickleCoderImpl
from pyflink.fn_execution.stream_slow import InputStream, OutputStream

from pyflink_prometheus import PrometheusTimeSeries

RECORDS = 500
PLAIN = ("flight_altitude_feet", {"icao24": "0101de", "callsign": "MSR799"}, ((13650.0, 1_700_000_000_000),))


class Slotted:
    """An ordinary class, for comparison."""

    __slots__ = ("labels", "metric_name", "samples")

    def __init__(self, metric_name: str, labels: dict[str, str], samples: tuple[tuple[float, int], ...]) -> None:
        self.metric_name, self.labels, self.samples = metric_name, labels, samples


def crossing(coder: CloudPickleCoderImpl, record: object) -> Callable[[], None]:
    """Return a function that encodes and decodes a record once for each record of a round."""

    def run() -> None:
        for _ in range(RECORDS):
            out = OutputStream()
            coder.encode_to_stream(record, out)
            coder.decode_from_stream(InputStream(out.get()), 0)

    return run


def main() -> None:
    """Run the benchmark."""
    parser(__doc__).parse_args()
    coder = CloudPickleCoderImpl()
    ways = {
        "a plain tuple": crossing(coder, PLAIN),
        "PrometheusTimeSeries": crossing(coder, PrometheusTimeSeries(*PLAIN)),
        "an instance of a class of the job's own file": crossing(coder, Slotted(*PLAIN)),
    }
    report("exchange: pickle and unpickle one record", side_by_side(ways, per_round=RECORDS), baseline="a plain tuple")


if __name__ == "__main__":
    main()
