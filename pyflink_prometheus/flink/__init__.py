"""All code that imports PyFlink: the sink and its builder, the function that runs the writer, keys and counters."""
