"""Three values (None is unknown), and time: microseconds since 1970 on the clocks of zones."""

import re
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = 86_400_000_000
YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
MONTHS = ("JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER").split()
WEEKDAYS = "MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY SUNDAY".split()


class Unsupported(Exception):
    """A part that is not understood, whatever it looks at."""


def one_of(value, choices):
    """What the member means."""
    if value not in choices:
        raise Unsupported(value)
    return choices[value]


def number(holder, name, low, high, default=None):
    value = holder.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Unsupported(name)
    return value


def all_of(values):
    values = list(values)
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def negated(value):
    return None if value is None else not value


def any_of(values):
    return negated(all_of(negated(value) for value in values))


def zone_named(name):
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def micros(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def on_clock(at, zone):
    """What a clock in the zone shows."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(zone).replace(tzinfo=None, fold=0)


def instant(wall, zone):
    """The first occurrence; a skipped time is read with the offset before the gap, which moves it behind."""
    return micros(wall.replace(tzinfo=zone, fold=0).astimezone(timezone.utc))


DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


def of_milliseconds(value):
    """Before 1971 only midnights are meant as milliseconds."""
    at = value * 1000
    plausible = at >= 365 * DAY or at % DAY == 0
    return at if plausible and YEARS[0] <= at <= YEARS[1] else None


def date_of(value):
    """A property's value as an instant; None: no date."""
    value = value.strip()
    if re.fullmatch(r"[+-]?\d+", value):
        return of_milliseconds(int(value))
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return micros(datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=timezone.utc))
        if found := DATE_TIME.fullmatch(value):
            day, time, fraction, offset = found.groups()
            offset = "+00:00" if offset == "Z" else offset
            whole = micros(datetime.fromisoformat(f"{day}T{time}{offset}"))
            return whole + int(((fraction or "") + "000000")[:6])
    except ValueError:
        pass
    return None


def shifted(wall, months=0, days=0):
    total = wall.year * 12 + wall.month - 1 + months
    year, month = total // 12, total % 12 + 1
    first = wall.replace(year=year, month=month, day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(wall.day, last.day)) + timedelta(days=days)


def start_of(unit, wall, first_month=1):
    start = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "DAY":
        return start
    if unit == "WEEK":
        return start - timedelta(days=start.weekday())
    start = start.replace(day=1)
    if unit == "MONTH":
        return start
    behind = (start.month - first_month) % 12
    return shifted(start, months=-(behind if unit == "YEAR" else behind % 3))


def units_later(unit, wall, count):
    length = {"DAY": (0, 1), "WEEK": (0, 7), "MONTH": (1, 0), "QUARTER": (3, 0), "YEAR": (12, 0)}[unit]
    return shifted(wall, months=length[0] * count, days=length[1] * count)
