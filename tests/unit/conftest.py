"""Beam, loaded whole: PyFlink imports it in passing, and a warning of its libraries would leave it half loaded."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import apache_beam  # noqa: F401
