"""Event-time steps upstream of the sink, as plain logic without Flink: state goes in and comes out."""
