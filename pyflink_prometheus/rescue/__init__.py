"""Rescue of samples that a receiver has refused, from the files in which they are kept."""
