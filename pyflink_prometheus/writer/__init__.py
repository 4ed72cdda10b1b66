"""Delivery of samples in batches over several shards, independent of Flink."""
