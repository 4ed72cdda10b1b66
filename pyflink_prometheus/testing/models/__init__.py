"""Receivers in memory that answer as real ones do, and store what those store: one file each."""
