"""The check of what works with an endpoint, before a job is started."""
