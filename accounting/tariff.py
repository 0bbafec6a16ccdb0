"""Tariffs: the price of one segment to a number, by longest prefix.

A tariff refuses to know who pays, what for and when: a customer's price list and a carrier's cost list are the same
thing. `TariffBook` adds time: the version of a tariff that is in force at an instant.

Why a dict per prefix length and not a tree: a lookup is a handful of dict probes on slices, longest first, all in C. A
tree walks digit by digit in Python and is several times slower.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import inf
from typing import NamedTuple

from accounting.money import MoneyError, to_micro

PREFIX_DIGITS_MAX = 15
ROWS_MAX = 1_000_000
_HEADER = ("prefix", "price", "country", "mccmnc")
_CURRENCY = re.compile(r"[A-Z]{3}")
_FORMS = {
    "prefix": (
        re.compile(rf"[0-9]{{0,{PREFIX_DIGITS_MAX}}}"),
        "write up to 15 digits of E.164 without +, or nothing for everything else",
    ),
    "country": (re.compile(r"([A-Z]{2})?"), "write an ISO 3166 code of two capital letters, like MR, or nothing"),
    "mccmnc": (re.compile(r"([0-9]{5,6})?"), "write the 5 or 6 digits of MCC and MNC, like 60901, or nothing"),
}


class TariffError(ValueError):
    """A tariff that cannot be used. The fields say where; the text is source, line, column, value and remedy in one."""

    def __init__(self, source: str, line: int, column: str, value: str, remedy: str) -> None:
        self.source, self.line, self.column, self.value, self.remedy = source, line, column, value, remedy
        place = f"{source}, line {line}" if line else source
        super().__init__(f"{place}, {column} {value[:64]!r}: {remedy}")


class Price(NamedTuple):
    """The price of one segment, micro-units, and what its prefix tells about the number ("" where it does not)."""

    micro: int
    country: str
    mccmnc: str
    prefix: str


class Tariff:
    """One version of a price list. Immutable once built; `valid_from` in ms since 1970 UTC, 0 for always."""

    __slots__ = ("_levels", "_rest", "currency", "name", "prices", "valid_from")

    def __init__(self, name: str, currency: str, prices: Mapping[str, Price], valid_from: int = 0) -> None:
        """`prices` by prefix (digits, "" for everything else). Raises TariffError for a currency that is no ISO code."""
        if not _CURRENCY.fullmatch(currency):
            raise TariffError(
                f"tariff {name}", 0, "currency", currency, "write an ISO 4217 code of three capital letters, like EUR"
            )
        self.name = name
        self.currency = currency
        self.prices = dict(prices)
        self.valid_from = valid_from
        self._rest = self.prices.get("")
        lengths = sorted({len(prefix) for prefix in self.prices if prefix}, reverse=True)
        self._levels = tuple((n, {p: price for p, price in self.prices.items() if len(p) == n}.get) for n in lengths)

    def price(self, number: str) -> Price | None:
        """The price to a number (E.164 digits without +) by its longest prefix; None when no prefix fits."""
        for length, get in self._levels:
            found = get(number[:length])
            if found is not None:
                return found
        return self._rest


class TariffBook:
    """All tariffs in all their versions; answers which version of which tariff is in force when."""

    __slots__ = ("_starts", "_versions", "names")

    def __init__(self, tariffs: Iterable[Tariff]) -> None:
        """Versions of one name share a currency and differ in `valid_from`; raises TariffError otherwise."""
        self._versions: dict[str, list[Tariff]] = {}
        for tariff in tariffs:
            self._versions.setdefault(tariff.name, []).append(tariff)
        for name, versions in self._versions.items():
            versions.sort(key=lambda t: t.valid_from)
            for earlier, later in pairwise(versions):
                if earlier.valid_from == later.valid_from:
                    raise TariffError(
                        f"tariff {name}", 0, "valid_from", str(later.valid_from), "give each version its own valid_from"
                    )
                if earlier.currency != later.currency:
                    raise TariffError(
                        f"tariff {name}", 0, "currency", later.currency, f"all versions must be in {earlier.currency}"
                    )
        self._starts = {name: [t.valid_from for t in versions] for name, versions in self._versions.items()}
        self.names = tuple(self._versions)
        """Names in the order in which they were first given."""

    def at(self, name: str, now: int) -> Tariff | None:
        """The version of `name` in force at `now` (ms); None for an unknown name or before its first version."""
        starts = self._starts.get(name)
        if starts is None:
            return None
        index = bisect_right(starts, now)
        return self._versions[name][index - 1] if index else None

    def until(self, name: str, now: int) -> float:
        """When the version of `name` in force at `now` ends (ms): the next one's `valid_from`, infinity for the last."""
        starts = self._starts.get(name, ())
        index = bisect_right(starts, now)
        return starts[index] if index < len(starts) else inf


def parse_csv(text: str, *, name: str, currency: str, source: str, valid_from: int = 0) -> Tariff:
    """A tariff from CSV `prefix,price[,country[,mccmnc]]`, one row per prefix, header line optional, `#` lines skipped.

    Raises TariffError at the first row that cannot be used, naming source, line, column, value and remedy.
    """
    prices: dict[str, Price] = {}
    first_lines: dict[str, int] = {}
    rows = csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True)
    columns: tuple[str, ...] = _HEADER
    try:
        for row in rows:
            line = rows.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if not prices and columns is _HEADER and "price" in cells:
                columns = _header(cells, source, line)
                continue
            price = _row(cells, columns, source, line)
            if price.prefix in prices:
                raise TariffError(
                    source,
                    line,
                    "prefix",
                    price.prefix,
                    f"is already priced in line {first_lines[price.prefix]}: keep one of the two",
                )
            if len(prices) >= ROWS_MAX:
                raise TariffError(source, line, "prefix", price.prefix, f"a tariff has at most {ROWS_MAX} rows")
            prices[price.prefix] = price
            first_lines[price.prefix] = line
    except csv.Error as error:
        raise TariffError(source, rows.line_num, "row", "", f"is not CSV: {error}") from error
    if not prices:
        raise TariffError(source, 0, "rows", "", "has no price: write at least one row prefix,price")
    return Tariff(name, currency, prices, valid_from)


def from_dict(prices: Mapping[str, str], *, name: str, currency: str, source: str, valid_from: int = 0) -> Tariff:
    """A tariff from an inline table {"44": "0.0350", "": "0.10"}. Raises TariffError naming source, prefix and remedy."""
    found = {prefix: _row([prefix, price], _HEADER, f"{source}, prices[{prefix!r}]", 0) for prefix, price in prices.items()}
    if not found:
        raise TariffError(source, 0, "prices", "", 'has no price: write at least one, like "44" = "0.0350"')
    return Tariff(name, currency, found, valid_from)


def _header(cells: list[str], source: str, line: int) -> tuple[str, ...]:
    for cell in cells:
        if cell not in _HEADER or cells.count(cell) > 1:
            raise TariffError(source, line, "header", cell, f"the columns are {','.join(_HEADER)}, each at most once")
    if "prefix" not in cells:
        raise TariffError(source, line, "header", ",".join(cells), "the column prefix is missing")
    return tuple(cells)


def _row(cells: list[str], columns: tuple[str, ...], source: str, line: int) -> Price:
    if len(cells) > len(columns):
        raise TariffError(source, line, "row", ",".join(cells), f"has {len(cells)} columns: {','.join(columns)} are expected")
    row = dict(zip(columns, cells, strict=False))
    for column, (form, remedy) in _FORMS.items():
        if not form.fullmatch(row.get(column, "")):
            raise TariffError(source, line, column, row[column], remedy)
    if "price" not in row:
        raise TariffError(source, line, "price", "", "is missing: write prefix,price")
    try:
        micro = to_micro(row["price"])
    except MoneyError as error:
        raise TariffError(source, line, "price", row["price"], str(error)) from error
    if micro < 0:
        raise TariffError(source, line, "price", row["price"], "is negative: a segment costs 0 or more")
    return Price(micro, row.get("country", ""), row.get("mccmnc", ""), row.get("prefix", ""))
