"""Prometheus's relabelling rules, applied to the labels of one series. Nothing in here does I/O."""
