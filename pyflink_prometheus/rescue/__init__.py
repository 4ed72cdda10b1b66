"""Rescue of samples that a receiver has rejected, from the files in which they are kept."""
