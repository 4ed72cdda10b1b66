"""Deliver samples in batches over several shards, whatever the host program is: nothing here knows Flink."""
