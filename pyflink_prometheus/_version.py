"""The version, in one place: the wheel's metadata and the User-Agent header both read it."""

#: The version of this package, such as ``1.2.3``.
__version__ = "0.1.0"
