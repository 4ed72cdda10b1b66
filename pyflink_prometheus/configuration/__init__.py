"""Prometheus's own configuration, read as Prometheus reads it, and its settings as those of the sink."""
