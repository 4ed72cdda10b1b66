"""Exactly one POST: the transport on requests, and what an answer means."""
