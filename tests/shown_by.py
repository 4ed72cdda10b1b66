"""Everything that an exception reveals."""

from __future__ import annotations

import pickle
import traceback

from pyflink_prometheus import PrometheusSinkError


def shown_by(error):
    """Return everything that an exception and its chain reveal when printed, pickled or walked."""
    yield "".join(traceback.format_exception(type(error), error, error.__traceback__))
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
        if isinstance(error, PrometheusSinkError):
            yield repr(pickle.dumps(error))
        error = error.__cause__ or error.__context__
