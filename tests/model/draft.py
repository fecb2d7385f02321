"""Filters on one property, with values drawn from both sides of what they ask for.

Times come from around changes of the clock, leap days and New Year.
"""

from datetime import timedelta, timezone

import basics
import criteria
import dates
import points
from basics import EPOCH, MONTHS, WEEKDAYS

ZONES = ["Europe/Warsaw"] * 5 + ["America/New_York"] * 4 + [
    "UTC", "US/Eastern", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Apia", "Asia/Tokyo",
]
NOWS = [
    "2026-03-29T01:00", "2026-03-28T23:00", "2026-03-29T22:00", "2026-10-25T01:00", "2026-10-24T22:00",
    "2026-10-25T23:00", "2026-03-08T07:00", "2026-03-08T05:00", "2026-11-01T06:00", "2026-11-02T05:00",
    "2024-02-29T12:00", "2024-02-28T23:30", "2025-03-01T00:00", "2026-12-31T23:00", "2027-01-01T05:00",
    "2020-12-31T12:00", "2021-01-03T23:00", "2026-06-30T22:00", "2026-03-31T22:00", "2026-11-21T10:00",
    "2026-01-31T12:00", "2026-05-31T23:59", "2023-04-01T15:00", "2028-02-29T00:00",
]
WORDS = ["a", "A", "ab", "Straße", "STRASSE", "art", "the art", "state of the ART", "party", "art_deco", "é", "E\u0301",
         "e\u0301", "ΟΔΟΣ", "οδος", "οδοσ", "Ǆ", "ǆ", "ı", "İ", "i", "ﬁx", "fix", "12", "a12", "-", " ", "a b"]
OPTIONS = ["a", "b", "c", "A", "lead", "a b"]
NUMBERS = ["0", "-0", "5", "5.0", "05", " 5 ", "5e0", "50e-1", "4.9999999999999999999999", "5.0000000000000000000001",
           "-5", "1e3", "1000", "0.1", ".1", "+7", "7.", "many", "1,5", "0x5", "1e400", "-1e400", "1e-400", "Infinity"]
NO_DATES = ["1764288000", "20251128", "-1", "soon", "2026-02-30", "2026-13-01", "2026-1-01", "2026-11-21T10:00:00", "21.11.2026", "1e12", "12:00"]
MICROSECONDS = [0, 0, 0, -1, 1, -1000, 1000, -3_600_000_000, 3_600_000_000, -86_400_000_000, 86_400_000_000]


def rfc3339(at):
    return (EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Draft:
    """A contact in the making, and filters on its properties."""

    def __init__(self, rng):
        self.rng = rng
        base = basics.date_of(rng.choice(NOWS) + ":00Z")
        spread = [0, rng.choice(MICROSECONDS), rng.randrange(-7_200_000_000, 7_200_000_000)]
        self.now = base + rng.choice(spread) + rng.choice([0, basics.DAY * rng.randrange(-400, 400)])
        self.scene = {
            "now": rfc3339(self.now),
            "zone": "Nowhere/Land" if self.often(0.03) else rng.choice(ZONES),
            "createdAt": None if self.often(0.03) else rfc3339(self.now - rng.randrange(0, 10**14)),
            "history": {}, "segments": {"4": True, "5": False}, "workflows": {"7": "never", "8": "active", "9": "past"},
            "associated": [], "events": [], "submissions": [], "event": None,
            "unknownProperties": {},
            "keptAssociations": rng.choice([sorted(criteria.OBJECTS.values())] * 4 + [[]]),
            "keptForms": rng.choice([["x", "y", "z"], ["x", "y", "z"], ["x", "y"], []]),
            "keptEvents": rng.choice([["e", "f"], ["e", "f"], ["e"], []]),
        }
        self.names = 0

    def often(self, share):
        return self.rng.random() < share

    def maybe(self, share, members):
        return members if self.often(share) else {}

    def near(self, at):
        return at + self.rng.choice(MICROSECONDS)

    def some_time(self):
        return self.near(self.now) + self.rng.choice([0, basics.DAY * self.rng.randrange(-500, 500)])

    def new_name(self):
        self.names += 1
        return f"p{self.names}"

    # --- Values -------------------------------------------------------------------------------------------------

    def date_value(self, at):
        """One of the ways to write an instant, or something that is none."""
        if self.often(0.06):
            return self.rng.choice(NO_DATES)
        if at % 86_400_000_000 == 0 and self.often(0.5) or self.often(0.05):
            return rfc3339(at)[:10]
        if at % 1000 == 0 and self.often(0.4):
            return str(at // 1000)
        if self.often(0.3):
            offset = timezone(timedelta(minutes=self.rng.choice([-300, 60, 120, 345, 840])))
            moment = (EPOCH + timedelta(microseconds=at)).astimezone(offset)
            return moment.isoformat(timespec=self.rng.choice(["microseconds", "auto"]))
        return rfc3339(at)

    def plant(self, record, name, values, changes=None):
        """Gives a record a value for the property, or none; and for a contact, a past."""
        if self.often(0.12):
            if self.often(0.4):
                record["properties"][name] = ""
            elif self.often(0.4):
                self.scene["unknownProperties"].setdefault(record["of"], []).append(name)
        else:
            record["properties"][name] = self.rng.choice(values())
        if record is self.contact and self.often(0.4):
            times = changes or [self.some_time()]
            record["history"][name] = [
                {"value": self.rng.choice([*values(), ""]), "timestamp": rfc3339(self.near(self.rng.choice(times)))}
                for _ in range(self.rng.randrange(1, 4))
            ]
            # Most histories end with the value of now.
            if self.often(0.8):
                last = max(record["history"][name], key=lambda version: criteria.date_of(version["timestamp"]))
                last["value"] = record["properties"].get(name, "")

    # --- Points in time -----------------------------------------------------------------------------------------

    def zone(self):
        if self.often(0.02):
            return {"zoneId": "Mars/Olympus"}
        if self.often(0.05):
            return self.rng.choice([{}, {"timezoneSource": "PORTAL"}, {"timezoneSource": "USER"}])
        return {"zoneId": self.rng.choice(ZONES), **self.maybe(0.2, {"timezoneSource": "CUSTOM"})}

    def time_of_day(self):
        hour = self.rng.choice([0, 1, 2, 2, 3, 12, 23])
        return {
            **self.maybe(0.4, {"hour": hour}),
            **self.maybe(0.3, {"minute": self.rng.choice([0, 15, 30, 59])}),
            **self.maybe(0.2, {"second": self.rng.choice([0, 59])}),
            **self.maybe(0.2, {"millisecond": self.rng.choice([0, 1, 999])}),
        }

    def offset(self):
        units = ["years", "quarters", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds"]
        some = self.rng.sample(units, self.rng.choice([1, 1, 1, 2, 3]))
        offset = {unit: self.rng.randrange(-8, 9) for unit in some}
        return offset | self.maybe(0.01, {"decades": 1})

    def point(self, needed):
        """`needed` collects the properties that the point refers to."""
        kind = self.rng.choice(["DATE", "INDEXED", "INDEXED", "INDEXED", "PROPERTY_REFERENCED"])
        point = {"timeType": kind, **self.zone()}
        if kind == "DATE":
            day = EPOCH + timedelta(microseconds=self.some_time())
            shift = self.maybe(0.02, {"day": 31, "month": 2})
            return point | {"year": day.year, "month": day.month, "day": day.day} | self.time_of_day() | shift
        if kind == "INDEXED":
            return point | {"indexReference": self.reference()} | self.maybe(0.6, {"offset": self.offset()})
        name = self.new_name()
        needed.append(name)
        reading = self.rng.choice(["VALUE", "UPDATED_AT", "ANNIVERSARY", "ANNIVERSARY"])
        return point | {"property": name, "referenceType": "EVERY_MOON" if self.often(0.02) else reading}

    def reference(self):
        kind = self.rng.choice(list(points.REFERENCES))
        _, has = points.REFERENCES[kind]
        reference = {"referenceType": kind, **self.time_of_day()}
        if "dayOfWeek" in has:
            reference |= self.maybe(0.7, {"dayOfWeek": self.rng.choice(WEEKDAYS)})
        if "month" in has:
            reference |= self.maybe(0.7, {"month": self.rng.choice([1, 2, 3, 3, 4, 12])})
        if "day" in has:
            reference |= self.maybe(0.7, {"day": self.rng.choice([1, 1, 15, 28, 29, 30, 31])})
        return reference | self.maybe(0.01, {"hour": 24}) | self.maybe(0.01, {"day": 1})

    def boundaries(self, makers):
        """Where these points lie now, as far as one can say."""
        look = criteria.Look(self.scene, self.contact["properties"], self.scene["history"], None, self.scene)
        found = []
        for maker in makers:
            try:
                found.append(maker()(look))
            except basics.Unsupported:
                pass
        return [at for at in found if at is not None] or [self.now]

    def behaviors(self, names):
        return {name: self.rng.choice(["INCLUSIVE", "EXCLUSIVE"]) for name in names if self.often(0.5)}

    def time_operation(self, kind, needed):
        if kind == "TIME_POINT":
            operation = {"operator": self.rng.choice(["IS_BEFORE", "IS_AFTER"]), "timePoint": self.point(needed)}
            operation |= self.behaviors(["endpointBehavior"])
            return operation, ["timePoint"]
        names = ["lowerBoundTimePoint", "upperBoundTimePoint"]
        operation = {"operator": self.rng.choice(["IS_BETWEEN", "IS_NOT_BETWEEN"])}
        operation |= {name: self.point(needed) for name in names}
        return operation | self.behaviors(["lowerBoundEndpointBehavior", "upperBoundEndpointBehavior"]), names

    # --- Operations: members, and a function that draws values from near what they ask for ------------------------

    def simple_operation(self, kind):
        rng = self.rng
        equality = ["IS_EQUAL_TO", "IS_NOT_EQUAL_TO", "HAS_EVER_BEEN_EQUAL_TO", "HAS_NEVER_BEEN_EQUAL_TO"]
        if kind == "ALL_PROPERTY":
            return {"operator": rng.choice(["IS_KNOWN", "IS_UNKNOWN", "IS_NOT_KNOWN"])}, lambda: ["x", " "]
        if kind == "BOOL":
            operation = {"operator": rng.choice(equality), "value": self.often(0.5)}
            return operation, lambda: ["true", "false", "TRUE", "False", " true", "yes"]
        if kind == "NUMBER":
            orders = ["IS_GREATER_THAN", "IS_GREATER_THAN_OR_EQUAL_TO", "IS_LESS_THAN", "IS_LESS_THAN_OR_EQUAL_TO"]
            value = rng.choice([5, 5, 0, -5, 1000, 0.1, 7, 1e300])
            return {"operator": rng.choice(equality + orders), "value": value}, lambda: NUMBERS
        if kind == "NUMBER_RANGED":
            low, high = rng.choice([(0, 5), (5, 5), (5, 0), (-5, 1000)])
            operation = {"operator": rng.choice(["IS_BETWEEN", "IS_NOT_BETWEEN"]), "lowerBound": low, "upperBound": high}
            return operation, lambda: NUMBERS
        if kind == "ENUMERATION":
            operators = ["IS_ANY_OF", "IS_NONE_OF", "IS_EXACTLY", "IS_NOT_EXACTLY", "CONTAINS_ALL",
                "DOES_NOT_CONTAIN_ALL", "HAS_EVER_BEEN_ANY_OF", "HAS_NEVER_BEEN_ANY_OF", "HAS_EVER_BEEN_EXACTLY",
                "HAS_NEVER_BEEN_EXACTLY", "HAS_EVER_CONTAINED_ALL", "HAS_NEVER_CONTAINED_ALL"]
            operation = {"operator": rng.choice(operators), "values": rng.sample(OPTIONS, rng.choice([1, 1, 2, 3]))}
            separators = [";", "; ", ";;"]
            return operation, lambda: [rng.choice(separators).join(rng.choices(OPTIONS, k=rng.randrange(1, 4)))]
        operators = ["IS_EQUAL_TO", "IS_NOT_EQUAL_TO", "CONTAINS", "DOES_NOT_CONTAIN", "STARTS_WITH", "ENDS_WITH",
            "CONTAINS_EXACTLY", "DOES_NOT_CONTAIN_EXACTLY", "HAS_EVER_BEEN_EQUAL_TO", "HAS_NEVER_BEEN_EQUAL_TO",
            "HAS_EVER_CONTAINED", "HAS_NEVER_CONTAINED"]
        operand = {"value": rng.choice(WORDS)} if kind == "STRING" else {"values": rng.sample(WORDS, rng.choice([1, 2]))}
        joined = lambda: rng.choice(["", " ", "-"]).join(rng.choices(WORDS, k=rng.randrange(1, 4)))
        return {"operator": rng.choice(operators)} | operand, lambda: [joined(), rng.choice(WORDS)]

    def date_operation(self, kind, needed):
        """Members, and where their boundaries lie."""
        rng = self.rng
        zoned = self.maybe(0.5, {"requiresTimeZoneConversion": self.often(0.6)})
        away = self.some_time() // 1000
        if kind == "DATETIME":
            operation = {"operator": rng.choice(["IS_BEFORE", "IS_AFTER"]), "timestamp": away} | zoned
            return operation, [lambda: dates.epoch(operation, "timestamp")]
        if kind == "RANGED_DATE":
            bounds = {"lowerBound": away, "upperBound": away + rng.choice([0, 1, 86_400_000, -5])}
            operation = {"operator": rng.choice(["IS_BETWEEN", "IS_NOT_BETWEEN"])} | bounds | zoned
            return operation, [lambda name=name: dates.epoch(operation, name) for name in bounds]
        if kind == "DATE" and self.often(0.5):
            day = EPOCH + timedelta(microseconds=self.some_time())
            start = basics.micros(day.replace(hour=0, minute=0, second=0, microsecond=0))
            operation = {"operator": "IS_EQUAL_TO", "day": day.day, "month": MONTHS[day.month - 1], "year": day.year}
            return operation, [lambda: dates.fixed(start), lambda: dates.fixed(start + basics.DAY)]
        if kind in ("DATE", "ROLLING_DATE_RANGE"):
            ways = ["LESS_THAN_X_DAYS_AGO", "MORE_THAN_X_DAYS_AGO", "LESS_THAN_X_DAYS_FROM_NOW", "MORE_THAN_X_DAYS_FROM_NOW"]
            operation = {"operator": f"IS_{rng.choice(ways)}", "numberOfDays": rng.choice([0, 1, 2, 7, 365])} | zoned
            local = zoned.get("requiresTimeZoneConversion")
            signs = [-1, 1]
            return operation, [lambda sign=sign: dates.days_away(operation, sign, local) for sign in signs]
        if kind == "ROLLING_PROPERTY_UPDATED":
            operator = rng.choice(["UPDATED_IN_LAST_X_DAYS", "NOT_UPDATED_IN_LAST_X_DAYS"])
            operation = {"operator": operator, "numberOfDays": rng.choice([0, 1, 7, 30])}
            return operation, [lambda: dates.days_away(operation, -1, False)]
        if kind == "CALENDAR_DATE":
            ways = ["IN_THIS_TIME_UNIT", "IN_THIS_TIME_UNIT_SO_FAR", "IN_NEXT_TIME_UNIT", "IN_LAST_TIME_UNIT"]
            operation = {"operator": rng.choice(ways), "timeUnit": rng.choice(["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"])}
            operation |= self.maybe(0.4, {"fiscalYearStart": rng.choice(MONTHS)})
            operation |= self.maybe(0.4, {"useFiscalYear": self.often(0.7)})
            return operation, [lambda: dates.fixed(at) for at in self.calendar_boundaries(operation)]
        name = self.new_name()
        needed.append(name)
        operation = {"operator": rng.choice(["IS_BEFORE", "IS_AFTER"]), "comparisonPropertyName": name}
        operation |= self.maybe(0.3, {"defaultComparisonValue": self.date_value(self.some_time())})
        return operation, [lambda: dates.other_date(operation)]

    def calendar_boundaries(self, operation):
        zone = basics.zone_named(self.scene["zone"])
        if zone is None:
            return [self.now]
        unit, first = operation["timeUnit"], operation.get("fiscalYearStart", "JANUARY")
        start = basics.start_of(unit, basics.on_clock(self.now, zone), MONTHS.index(first) + 1)
        starts = [basics.units_later(unit, start, count) for count in (-1, 0, 1, 2)]
        return [self.now, *(basics.instant(start, zone) for start in starts)]

    def property_filter(self):
        """The filter, and a function that gives a record a value for it."""
        name, needed = self.new_name(), []
        kind = self.rng.choice(self.KINDS)
        if kind == "COMPARATIVE_STRING":
            other = self.new_name()
            operation = {"operator": self.rng.choice(["IS_EQUAL_TO", "IS_NOT_EQUAL_TO"]), "comparisonPropertyName": other}
            operation |= self.maybe(0.3, {"defaultComparisonValue": self.rng.choice(WORDS)})

            def give(record):
                self.plant(record, other, lambda: WORDS)
                self.plant(record, name, lambda: WORDS)
        elif kind in self.SIMPLE:
            operation, values = self.simple_operation(kind)

            def give(record):
                self.plant(record, name, values)
        else:
            operation, give = self.filter_in_time(kind, name, needed)
        operation = {"operationType": kind, **operation}
        operation |= self.maybe(0.3, {"includeObjectsWithNoValueSet": self.often(0.7)})
        self.spoil(operation)
        return {"filterType": "PROPERTY", "property": name, "operation": operation}, give

    def filter_in_time(self, kind, name, needed):
        if kind in ("TIME_POINT", "TIME_RANGED"):
            operation, names = self.time_operation(kind, needed)
            operation |= self.maybe(0.4, {"propertyParser": self.rng.choice(["VALUE", "UPDATED_AT"])})
            makers = [lambda point=point: points.point_of(operation, point) for point in names]
        else:
            operation, makers = self.date_operation(kind, needed)

        def give(record):
            for other in needed:
                past = self.rng.choice([0, 0, 365, 366, 1461, 12_000]) * basics.DAY
                self.plant(record, other, lambda: [self.date_value(self.some_time() - past)])
            bounds = self.boundaries(makers)
            values = lambda: [self.date_value(self.near(self.rng.choice(bounds)))]
            self.plant(record, name, values, bounds)

        return operation, give

    def spoil(self, operation):
        """Now and then makes an operation that nobody understands."""
        if self.often(0.02):
            operation["operator"] = self.rng.choice(["SOUNDS_LIKE", "IS_EQUAL_TO_X", "HAS_EVER_BEEN"])
        if self.often(0.01):
            operation["operationType"] = "RUNE"
        if self.often(0.02):
            needless = ["includeObjectsWithNoValueSet", "defaultComparisonValue", "requiresTimeZoneConversion"]
            del operation[self.rng.choice([name for name in operation if name not in needless])]

    SIMPLE = ["ALL_PROPERTY", "BOOL", "NUMBER", "NUMBER_RANGED", "STRING", "MULTISTRING", "ENUMERATION"]
    IN_TIME = [*dates.INSTANTS]
    KINDS = SIMPLE + IN_TIME + ["TIME_POINT", "TIME_RANGED"] * 3 + ["CALENDAR_DATE", "COMPARATIVE_STRING"]
