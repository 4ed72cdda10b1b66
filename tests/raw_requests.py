"""Requests that are made and posted without the sink's code, so that only the receiver is tested."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import NamedTuple

import snappy

from pyflink_prometheus import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Written
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Request

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
_HEADERS = {
    V1: {"Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"},
    V2: {
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
    },
}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ResponseHead(NamedTuple):
    """A receiver's response, without its text, on which nothing should depend."""

    status: int
    written: Written | None


def encode(version, *series):
    """Return a message with these series, each (labels as pairs, samples as (value, timestamp) pairs)."""
    if version is V1:
        message = WriteRequest()
        for labels, samples in series:
            each = message.timeseries.add()
            for name, value in labels:
                each.labels.add(name=name, value=value)
            for value, timestamp in samples:
                each.samples.add(value=value, timestamp=timestamp)
        return message.SerializeToString()
    symbols = {"": 0}
    request = Request()
    for labels, samples in series:
        one = request.timeseries.add()
        for pair in labels:
            one.labels_refs.extend(symbols.setdefault(text, len(symbols)) for text in pair)
        for value, timestamp in samples:
            one.samples.add(value=value, timestamp=timestamp)
    request.symbols.extend(symbols)
    return request.SerializeToString()


def post(url, version, message):
    """Post a message, and return the response."""
    headers = {**_HEADERS[version], "Content-Encoding": "snappy"}
    request = urllib.request.Request(url, data=snappy.compress(message), headers=headers)
    try:
        with _OPENER.open(request, timeout=60) as response:
            return ResponseHead(response.status, _written(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return ResponseHead(error.code, _written(error.headers))


def _written(headers):
    said = [headers.get(f"X-Prometheus-Remote-Write-{kind}-Written") for kind in ("Samples", "Histograms", "Exemplars")]
    return None if said == [None] * 3 else Written(*(int(each or 0) for each in said))
