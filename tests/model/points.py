"""Points in time, as functions from what is looked at to an instant, and conditions on instants."""

from datetime import datetime, timedelta

from basics import (
    Unsupported,
    WEEKDAYS,
    all_of,
    date_of,
    instant,
    negated,
    number,
    on_clock,
    one_of,
    shifted,
    start_of,
    zone_named,
)


def zone_of(point):
    """A function that finds the zone, for the account's may be unknown."""
    if point.get("zoneId") is None:
        if point.get("timezoneSource") not in (None, "PORTAL"):
            raise Unsupported("zoneId")
        return lambda look: look.account_zone()
    zone = zone_named(point["zoneId"])
    if zone is None:
        raise Unsupported("zoneId")
    return lambda look: zone


def point_of(holder, name):
    """A function from what is looked at to the instant, or None where there is none."""
    point = holder.get(name)
    if not isinstance(point, dict):
        raise Unsupported(name)
    kinds = {"DATE": wall_point, "INDEXED": indexed_point, "PROPERTY_REFERENCED": property_point}
    if point.get("timeType") not in kinds:
        raise Unsupported("timeType")
    return kinds[point["timeType"]](point)


def wall_point(point):
    zone = zone_of(point)
    try:
        wall = datetime(
            point["year"], point["month"], point["day"],
            number(point, "hour", 0, 23, 0), number(point, "minute", 0, 59, 0),
            number(point, "second", 0, 59, 0), number(point, "millisecond", 0, 999, 0) * 1000,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Unsupported("date") from error
    return lambda look: instant(wall, zone(look)) if zone(look) else None


REFERENCES = {
    "NOW": (None, []), "TODAY": ("DAY", []), "WEEK": ("WEEK", ["dayOfWeek"]), "MONTH": ("MONTH", ["day"]),
    "QUARTER": ("QUARTER", ["month", "day"]), "FISCAL_QUARTER": ("QUARTER", ["month", "day"]),
    "YEAR": ("YEAR", ["month", "day"]), "FISCAL_YEAR": ("YEAR", ["month", "day"]),
}


def indexed_point(point):
    zone, reference = zone_of(point), point.get("indexReference") or {}
    if reference.get("referenceType") not in REFERENCES:
        raise Unsupported("referenceType")
    unit, has = REFERENCES[reference["referenceType"]]
    if any(reference.get(name) is not None and name not in has for name in ("dayOfWeek", "month", "day")):
        raise Unsupported("a member of another unit")
    weekday = reference.get("dayOfWeek")
    if weekday is not None and weekday not in WEEKDAYS:
        raise Unsupported("dayOfWeek")
    month = number(reference, "month", 1, 3 if unit == "QUARTER" else 12)
    day = number(reference, "day", 1, 31)
    time = {
        "hour": number(reference, "hour", 0, 23),
        "minute": number(reference, "minute", 0, 59),
        "second": number(reference, "second", 0, 59),
        "microsecond": number(reference, "millisecond", 0, 999),
    }
    time = {name: value * (1000 if name == "microsecond" else 1) for name, value in time.items() if value is not None}
    months, days, exact = offset_of(point.get("offset") or {})

    def resolve(look):
        if zone(look) is None:
            return None
        if unit is None and not time and not months and not days:
            return look.now + exact
        wall = on_clock(look.now, zone(look))
        if unit is not None:
            wall = start_of(unit, wall)
        if weekday is not None:
            wall += timedelta(days=WEEKDAYS.index(weekday))
        if month is not None:
            wall = shifted(wall, months=month - 1)
        try:
            wall = wall.replace(**time, **({} if day is None else {"day": day}))
        except ValueError:
            return None
        return instant(shifted(wall, months, days), zone(look)) + exact

    return resolve


EXACT = {"hours": 3_600_000_000, "minutes": 60_000_000, "seconds": 1_000_000, "milliseconds": 1000}


def offset_of(offset):
    months = days = exact = 0
    for unit, amount in offset.items():
        if not isinstance(amount, int):
            raise Unsupported("offset")
        if unit in ("years", "quarters", "months"):
            months += amount * {"years": 12, "quarters": 3, "months": 1}[unit]
        elif unit in ("weeks", "days"):
            days += amount * (7 if unit == "weeks" else 1)
        elif unit in EXACT:
            exact += amount * EXACT[unit]
        else:
            raise Unsupported(unit)
    return months, days, exact


def property_point(point):
    zone, name = zone_of(point), point.get("property")
    reading = point.get("referenceType")
    if not name or reading not in ("VALUE", "UPDATED_AT", "ANNIVERSARY") or point.get("offset") is not None:
        raise Unsupported("PROPERTY_REFERENCED")

    def resolve(look):
        value = look.value(name)
        if value is None:
            return None
        if reading == "UPDATED_AT":
            return look.changed(name)
        at = date_of(value)
        if at is None or reading == "VALUE":
            return at
        return next_return(at, look.now, zone(look)) if zone(look) and at <= look.now else None

    return resolve


def next_return(at, now, zone):
    wall, years = on_clock(at, zone), 0
    while instant(shifted(wall, months=12 * years), zone) < now:
        # Nothing between here and the year of now can be it.
        years = max(years + 1, on_clock(now, zone).year - wall.year)
    return instant(shifted(wall, months=12 * years), zone)


def before(point, inclusive=False):
    def holds(at, look):
        bound = point(look)
        return None if bound is None else at < bound or inclusive and at == bound

    return holds


def after(point, inclusive=False):
    def holds(at, look):
        bound = point(look)
        return None if bound is None else at > bound or inclusive and at == bound

    return holds


def within(low, high, low_in=True, high_in=True):
    return lambda at, look: all_of([after(low, low_in)(at, look), before(high, high_in)(at, look)])


def denied(condition):
    return lambda at, look: negated(condition(at, look))


def behavior(operation, name, default):
    return one_of(operation.get(name) or default, {"INCLUSIVE": True, "EXCLUSIVE": False})


def time_point(operation):
    make = one_of(operation.get("operator"), {"IS_BEFORE": before, "IS_AFTER": after})
    return make(point_of(operation, "timePoint"), behavior(operation, "endpointBehavior", "EXCLUSIVE"))


def time_ranged(operation):
    deny = one_of(operation.get("operator"), {"IS_BETWEEN": False, "IS_NOT_BETWEEN": True})
    condition = within(
        point_of(operation, "lowerBoundTimePoint"),
        point_of(operation, "upperBoundTimePoint"),
        behavior(operation, "lowerBoundEndpointBehavior", "INCLUSIVE"),
        behavior(operation, "upperBoundEndpointBehavior", "INCLUSIVE"),
    )
    return denied(condition) if deny else condition
