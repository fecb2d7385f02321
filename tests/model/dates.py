"""Operations on a date, or on when a property changed: conditions on an instant."""

from datetime import datetime, timezone

from basics import (
    DAY,
    MONTHS,
    Unsupported,
    date_of,
    instant,
    micros,
    of_milliseconds,
    on_clock,
    one_of,
    shifted,
    start_of,
    units_later,
)
from points import after, before, denied, time_point, time_ranged, within


def fixed(at):
    return lambda look: at


def epoch(operation, name):
    """A member in milliseconds, read on the account's clock where the operation says so."""
    value = operation.get(name)
    at = of_milliseconds(value) if isinstance(value, int) else None
    if at is None:
        raise Unsupported(name)
    if not operation.get("requiresTimeZoneConversion"):
        return fixed(at)
    wall = on_clock(at, timezone.utc)
    return lambda look: instant(wall, look.account_zone()) if look.account_zone() else None


def days_away(operation, sign, of_account):
    days = operation.get("numberOfDays")
    if not isinstance(days, int) or days < 0:
        raise Unsupported("numberOfDays")

    def resolve(look):
        zone = look.account_zone() if of_account else timezone.utc
        if zone is None or days == 0:
            return None if zone is None else look.now
        return instant(shifted(on_clock(look.now, zone), days=sign * days), zone)

    return resolve


def now(look):
    return look.now


def rolling(operation):
    local = operation.get("requiresTimeZoneConversion")
    back, ahead = days_away(operation, -1, local), days_away(operation, 1, local)
    return one_of(operation.get("operator"), {
        "IS_LESS_THAN_X_DAYS_AGO": within(back, now, low_in=False),
        "IS_MORE_THAN_X_DAYS_AGO": before(back),
        "IS_LESS_THAN_X_DAYS_FROM_NOW": within(now, ahead, high_in=False),
        "IS_MORE_THAN_X_DAYS_FROM_NOW": after(ahead),
    })


def one_day(operation):
    month = operation.get("month")
    if month not in MONTHS:
        raise Unsupported("month")
    try:
        day = datetime(operation["year"], MONTHS.index(month) + 1, operation["day"], tzinfo=timezone.utc)
    except (KeyError, ValueError, TypeError) as error:
        raise Unsupported("date") from error
    return within(fixed(micros(day)), fixed(micros(day) + DAY), high_in=False)


def calendar(operation):
    unit = operation.get("timeUnit")
    one_of(unit, dict.fromkeys(["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"]))
    start, first = operation.get("fiscalYearStart"), 1
    if start is not None and start not in MONTHS:
        raise Unsupported("fiscalYearStart")
    if operation.get("useFiscalYear") is True and start is None:
        raise Unsupported("fiscalYearStart")
    if start is not None and operation.get("useFiscalYear") is not False:
        first = MONTHS.index(start) + 1
    if operation.get("timeUnitCount") not in (None, 1):
        raise Unsupported("timeUnitCount")

    def start_after(count):
        def resolve(look):
            zone = look.account_zone()
            if zone is None:
                return None
            return instant(units_later(unit, start_of(unit, on_clock(look.now, zone), first), count), zone)

        return resolve

    def whole(count):
        return within(start_after(count), start_after(count + 1), high_in=False)

    return one_of(operation.get("operator"), {
        "IN_THIS_TIME_UNIT": whole(0),
        "IN_THIS_TIME_UNIT_SO_FAR": within(start_after(0), now),
        "IN_NEXT_TIME_UNIT": whole(1),
        "IN_LAST_TIME_UNIT": whole(-1),
    })


def other_date(operation):
    name, default = operation.get("comparisonPropertyName"), operation.get("defaultComparisonValue")
    if not name:
        raise Unsupported("comparisonPropertyName")

    def resolve(look):
        value = look.value(name) or default
        return date_of(value) if value and not look.is_unheard_of(name) else None

    return resolve


def comparative(operation):
    make = one_of(operation.get("operator"), {"IS_BEFORE": before, "IS_AFTER": after})
    return make(other_date(operation))


def updated_in_last(operation):
    since = after(days_away(operation, -1, False), True)
    choices = {"UPDATED_IN_LAST_X_DAYS": since, "NOT_UPDATED_IN_LAST_X_DAYS": denied(since)}
    return one_of(operation.get("operator"), choices)


def dates_between(operation):
    deny = one_of(operation.get("operator"), {"IS_BETWEEN": False, "IS_NOT_BETWEEN": True})
    condition = within(epoch(operation, "lowerBound"), epoch(operation, "upperBound"))
    return denied(condition) if deny else condition


def date_time(operation):
    make = one_of(operation.get("operator"), {"IS_BEFORE": before, "IS_AFTER": after})
    return make(epoch(operation, "timestamp"))


def date(operation):
    return one_day(operation) if operation.get("operator") == "IS_EQUAL_TO" else rolling(operation)


INSTANTS = {
    "DATETIME": date_time, "DATE": date, "RANGED_DATE": dates_between, "ROLLING_DATE_RANGE": rolling,
    "COMPARATIVE_DATE": comparative, "CALENDAR_DATE": calendar, "TIME_POINT": time_point,
    "TIME_RANGED": time_ranged, "ROLLING_PROPERTY_UPDATED": updated_in_last,
    "COMPARATIVE_PROPERTY_UPDATED": comparative,
}


def instant_test(kind, operation, condition):
    of_change = kind in ("ROLLING_PROPERTY_UPDATED", "COMPARATIVE_PROPERTY_UPDATED")
    if kind in ("TIME_POINT", "TIME_RANGED"):
        of_change = one_of(operation.get("propertyParser") or "VALUE", {"VALUE": False, "UPDATED_AT": True})

    def test(value, name, look):
        at = look.changed(name) if of_change else date_of(value)
        return None if at is None else condition(at, look)

    return test
