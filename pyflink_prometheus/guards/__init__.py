"""Limits that a user sets on what is sent. Nothing in here does I/O."""
