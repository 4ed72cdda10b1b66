"""The version, in one place: the wheel's metadata and the User-Agent header both read it."""

__version__ = "0.1.0"
