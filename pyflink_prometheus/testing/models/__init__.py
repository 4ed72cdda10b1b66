"""In-memory models of receivers, which respond and store as the real ones do; one file each."""
