"""A handler of rejected samples for tests."""

from __future__ import annotations


class Rejections(list):
    """A handler that keeps all rejected samples in a list."""

    def __call__(self, rejected):
        self.extend(rejected)
