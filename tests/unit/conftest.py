"""A full import of Beam: PyFlink imports it indirectly, and a warning from its libraries would leave it half loaded."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import apache_beam  # noqa: F401
