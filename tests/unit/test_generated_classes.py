"""The generated protobuf classes are those of the files in proto/."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from pyflink_prometheus.wire._pb import remote_write_v1_pb2, remote_write_v2_pb2

PROTO = Path(__file__).resolve().parents[2] / "proto"


@pytest.mark.parametrize(
    "module", [remote_write_v1_pb2, remote_write_v2_pb2], ids=lambda module: module.__name__.rpartition(".")[2]
)
def test_generated_classes_are_current(module, tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    source = PROTO / f"{module.__name__.rpartition('.')[2][: -len('_pb2')]}.proto"
    out = tmp_path / "descriptors"
    assert protoc.main(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", str(source)]) == 0
    described = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(described)
    expected = FileDescriptorSet.FromString(out.read_bytes()).file[0]
    for message in expected.message_type:
        for field in message.field:
            field.ClearField("json_name")  # protoc's descriptor sets say what follows from the name anyway
    assert described == expected, "run `make proto`"
