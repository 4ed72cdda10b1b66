"""The entry point of this package: columns in, a request's body and headers out."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.wire import encoder_v1, encoder_v2
from pyflink_prometheus.wire.compression import compress
from pyflink_prometheus.wire.request_columns import Columns

_ENCODERS = {RemoteWriteVersion.V1: encoder_v1, RemoteWriteVersion.V2: encoder_v2}
_HEADERS: dict[RemoteWriteVersion, Mapping[str, str]] = {
    version: {
        "Content-Encoding": "snappy",
        "Content-Type": encoder.CONTENT_TYPE,
        "X-Prometheus-Remote-Write-Version": encoder.VERSION_HEADER,
    }
    for version, encoder in _ENCODERS.items()
}


class EncodedRequest(NamedTuple):
    """
    A request, ready to be sent.

    :param body: compressed, as sent.
    :param version: the protocol version of the message.
    :param size_in_bytes: before compression.
    """

    body: bytes
    version: RemoteWriteVersion
    size_in_bytes: int


def headers_of(version: RemoteWriteVersion) -> Mapping[str, str]:
    """Return the headers that the protocol requires."""
    return _HEADERS[version]


def encode(columns: Columns, version: RemoteWriteVersion) -> EncodedRequest:
    """
    Encode samples as a request. Pure; called on any thread.

    Every receiver accepts a request without samples and stores nothing, and nothing else accepts one.
    """
    message = _ENCODERS[version].encode_request(columns)
    return EncodedRequest(compress(message), version, len(message))


def encode_padding(size_in_bytes: int, version: RemoteWriteVersion) -> EncodedRequest:
    """
    Encode a request without samples of about this size, compressed or not: receivers skip its random text.

    It shows how large a request may be, and leaves nothing at the receiver.
    """
    message = _ENCODERS[version].encode_text(b64encode(os.urandom(size_in_bytes * 3 // 4)))
    return EncodedRequest(compress(message), version, len(message))
