"""The comparison of what was written with what a receiver holds."""
