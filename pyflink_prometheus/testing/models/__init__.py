"""In-memory models of receivers that respond and store as the real ones do; one file each."""
