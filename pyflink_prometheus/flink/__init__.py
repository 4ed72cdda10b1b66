"""All that knows Flink: the sink and its builder, the function that runs the writer, keys and counters."""
