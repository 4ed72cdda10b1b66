"""The event-time operators as PyFlink functions: thin wrappers around ``pyflink_prometheus.transforms``."""
