"""What works against an endpoint, found out before a job is started."""
