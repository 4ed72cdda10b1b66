"""The event-time operators as PyFlink functions: thin shells around ``pyflink_prometheus.transforms``."""
