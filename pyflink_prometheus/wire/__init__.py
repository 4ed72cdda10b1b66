"""Encoding of samples as bytes: pure, without Flink, threads or sockets."""
