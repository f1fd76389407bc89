"""HTTP dates (RFC 9110 5.6.7), to and from seconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_CLOCK: Final = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# The form in use and the two obsolete ones: RFC 850's with two digits of the year, and that of asctime(3). What they
# say of the day of the week is not looked at.
_FORMS: Final = (
    re.compile(rb"[A-Z][a-z]{2}, (?P<day>[0-9]{2}) (?P<month>[A-Z][a-z]{2}) (?P<year>[0-9]{4}) " + _CLOCK + rb" GMT"),
    re.compile(rb"[A-Z][a-z]+day, (?P<day>[0-9]{2})-(?P<month>[A-Z][a-z]{2})-(?P<year>[0-9]{2}) " + _CLOCK + rb" GMT"),
    re.compile(rb"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-9][0-9]) " + _CLOCK + rb" (?P<year>[0-9]{4})"),
)


def write_date(seconds: int) -> bytes:
    """The date as it stands in a field. Raises OverflowError or ValueError outside the years 1 to 9999."""
    when = datetime.fromtimestamp(seconds, UTC)
    clock = (when.hour, when.minute, when.second)
    day = (_DAYS[when.weekday()], when.day, _MONTHS[when.month - 1], when.year)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (*day, *clock)


def read_date(value: bytes) -> int | None:
    """The seconds of a field's date, None when it is none."""
    for form in _FORMS:
        found = form.fullmatch(value)
        if found is None or found["month"] not in _MONTHS:
            continue
        year = int(found["year"])
        if year < 100 and len(found["year"]) == 2:
            year += 1900 if year >= 70 else 2000  # no file is older; the RFC's "50 years from now" needs a clock
        second = min(int(found["second"]), 59)  # 60 is a leap second
        try:
            month = _MONTHS.index(found["month"]) + 1
            clock = (int(found["hour"]), int(found["minute"]), second)
            return int(datetime(year, month, int(found["day"]), *clock, tzinfo=UTC).timestamp())
        except ValueError:
            return None
    return None
