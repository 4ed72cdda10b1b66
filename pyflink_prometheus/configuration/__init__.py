"""Prometheus's own configuration, read as Prometheus reads it, and translated into settings of the sink."""
