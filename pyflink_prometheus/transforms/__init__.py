"""Event-time steps before the sink, as plain logic: no Flink in here, state goes in and comes out."""
