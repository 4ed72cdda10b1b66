"""The series that a writer uses, by number, and their labels as symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.model.labels import METRIC_NAME_LABEL
from pyflink_prometheus.wire.series import Series, Tenant

#: A column of numbers of series.
Numbers = npt.NDArray[np.int32]

# Texts that only one series has would fill all memory, so only the latest are found again.
_GENERATION_OF_TEXTS = 1 << 14


class MetadataSymbols(NamedTuple):
    """A metric's metadata: its type as text, and the symbols of its help and unit."""

    kind: str
    help: int
    unit: int


class SeriesTable:
    """
    The series that a writer uses, numbered from 0 in order of first use.

    A sample refers to its series by number, so that a whole column of samples can be sorted and encoded at once. One
    thread adds series; others may read the series whose numbers they have, because nothing in the table ever changes.

    :ivar series: the series, by number.
    :ivar texts: the symbols, by number; the first one is empty.
    :ivar metadata: the metadata of the series, numbered from 1.
    :ivar tenants: the tenants of the series; the first one means no tenant.
    :ivar may_repeat_texts: whether a text may have several numbers, because it was not used for a long time.
    """

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.texts: list[str] = [""]
        self.metadata: list[MetadataSymbols | None] = [None]
        self.may_repeat_texts = False
        self._text_numbers: dict[str, int] = {"": 0}
        self._older_text_numbers: dict[str, int] = {}
        self._metadata_numbers: dict[tuple[str, str, str], int] = {}
        self.tenants: list[Tenant] = [()]
        self._tenant_numbers: dict[Tenant, int] = {(): 0}
        self._tenant_of = _Column(np.int32)
        self._references = _Column(np.int32)
        self._bounds = _Column(np.int64)
        self._bounds.append(0)
        self._metadata_of = _Column(np.int32)
        self._hashes = _Column(np.uint32)
        self._forms: dict[Any, Any] = {}
        self._first_of: dict[bytes, int] | None = None
        self._identities: _Column | None = None

    @property
    def references(self) -> npt.NDArray[np.int32]:
        """The symbols of all series: the names and values of each, alternating, see :attr:`bounds`."""
        return self._references.values

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """Where the references of each series begin; they end where those of the next one begin."""
        return self._bounds.values

    @property
    def metadata_of(self) -> npt.NDArray[np.int32]:
        """The number of each series' metadata; 0 if it has none."""
        return self._metadata_of.values

    @property
    def tenant_of(self) -> npt.NDArray[np.int32]:
        """The number of each series' tenant."""
        return self._tenant_of.values

    @property
    def hashes(self) -> npt.NDArray[np.uint32]:
        """The hash of each series."""
        return self._hashes.values

    def identities(self, numbers: Numbers) -> Numbers:
        """
        Return numbers that are equal for equal labels, also of different tenants.

        A series has several numbers if its labels come in different orders, or with different metadata.
        """
        return numbers if self._identities is None else self._identities.values[numbers]

    def add(self, series: Series, form: Any = None, texts: Sequence[str] = ()) -> int:
        """
        Add a series, and return its number.

        :param series: not in the table yet.
        :param form: what distinguishes records with the same metric name and label names: the order of the labels, and
            anything else that makes two :class:`Series` out of one.
        :param texts: the names and values of its labels, alternating, if the caller has them. Default: decoded.
        """
        number = len(self.series)
        texts = texts or series.symbols
        metadata = series.metadata
        self._references.extend([self.symbol(text) for text in texts])
        self._bounds.append(self._references.size)
        self._metadata_of.append(0 if metadata is None else self._number_of_metadata(metadata))
        self._hashes.append(series.hash)
        self._tenant_of.append(self._number_of_tenant(series.tenant))
        self._note_form(texts, (form, metadata))
        series.number = number
        self.series.append(series)
        if self._first_of is not None and self._identities is not None:
            self._identities.append(self._first_of.setdefault(series.head, number))
        return number

    def texts_of(self, number: int) -> list[str]:
        """Return the names and values of a series' labels, alternating."""
        start, end = self._bounds.values[number : number + 2].tolist()
        texts = self.texts
        return [texts[each] for each in self._references.values[start:end].tolist()]

    def symbol(self, text: str) -> int:
        """Return the number of a text."""
        number = self._text_numbers.get(text)
        if number is not None:
            return number
        number = self._older_text_numbers.get(text)
        if number is None:
            number = len(self.texts)
            self.texts.append(text)
        if len(self._text_numbers) >= _GENERATION_OF_TEXTS:
            self._older_text_numbers, self._text_numbers = self._text_numbers, {}
            self.may_repeat_texts = True
        self._text_numbers[text] = number
        return number

    def shared(self, text: str) -> str:
        """Return the equal text in the table if it is found there, else the text itself."""
        number = self._text_numbers.get(text)
        return text if number is None else self.texts[number]

    def _number_of_tenant(self, tenant: Tenant) -> int:
        number = self._tenant_numbers.get(tenant)
        if number is None:
            number = self._tenant_numbers[tenant] = len(self.tenants)
            self.tenants.append(tenant)
        return number

    def _number_of_metadata(self, metadata: tuple[str, str, str]) -> int:
        number = self._metadata_numbers.get(metadata)
        if number is None:
            kind, text, unit = metadata
            number = self._metadata_numbers[metadata] = len(self.metadata)
            self.metadata.append(MetadataSymbols(kind, self.symbol(text), self.symbol(unit)))
        return number

    def _note_form(self, texts: Sequence[str], form: Any) -> None:
        """
        Begin to look for series with several numbers, once series of one metric and label names come in two forms.

        Before that, no two can have the same labels, so the usual stream never pays for the search.
        """
        if self._first_of is not None:
            return
        names = texts[::2]
        shape = (texts[2 * names.index(METRIC_NAME_LABEL) + 1], *names)
        if self._forms.setdefault(shape, form) == form:
            return
        self._first_of, identities = {}, _Column(np.int32)
        for number, each in enumerate(self.series):
            identities.append(self._first_of.setdefault(each.head, number))
        self._identities = identities


class _Column:
    """A growing column of numbers; arrays read from it stay valid."""

    __slots__ = ("size", "values")

    def __init__(self, dtype: Any) -> None:
        self.values: npt.NDArray[Any] = np.empty(256, dtype)
        self.size = 0

    def append(self, value: int) -> None:
        if self.size == len(self.values):
            self._grow(self.size + 1)
        self.values[self.size] = value
        self.size += 1

    def extend(self, values: list[int]) -> None:
        end = self.size + len(values)
        if end > len(self.values):
            self._grow(end)
        self.values[self.size : end] = values
        self.size = end

    def _grow(self, least: int) -> None:
        grown = np.empty(max(least, self.size + self.size // 2), self.values.dtype)
        grown[: self.size] = self.values[: self.size]
        self.values = grown
