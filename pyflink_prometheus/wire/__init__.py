"""Samples to bytes: pure, without Flink, threads or sockets."""
