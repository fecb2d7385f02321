"""Operations on other values: functions of the value, the property and what is looked at."""

import re
from decimal import Decimal

from basics import Unsupported, any_of, negated, one_of
from dates import INSTANTS, instant_test


def test_of(operation):
    kind = operation.get("operationType")
    if kind in INSTANTS:
        return instant_test(kind, operation, INSTANTS[kind](operation))
    tests = {
        "BOOL": bool_test, "NUMBER": number_test, "NUMBER_RANGED": number_between, "STRING": text_test,
        "MULTISTRING": text_test, "ENUMERATION": options_test, "COMPARATIVE_STRING": same_text,
    }
    return one_of(kind, tests)(operation)


def operands_of(operation, read):
    values, value = operation.get("values"), operation.get("value")
    if (values is None) == (value is None) or values == []:
        raise Unsupported("values")
    operands = [read(operand) for operand in (values if values is not None else [value])]
    if any(operand is None for operand in operands):
        raise Unsupported("values")
    return operands


def history_or_now(test, ever, deny):
    """`test` of any value that the property has or had, or of the present one alone."""

    def over(value, name, look):
        values = [value, *look.past(name)] if ever else [value]
        truth = any_of(test(value) for value in values)
        return negated(truth) if deny else truth

    return over


EQUALITY = {
    "IS_EQUAL_TO": (False, False), "IS_NOT_EQUAL_TO": (False, True),
    "HAS_EVER_BEEN_EQUAL_TO": (True, False), "HAS_NEVER_BEEN_EQUAL_TO": (True, True),
}


def bool_test(operation):
    (wanted,) = operands_of(operation, lambda it: it if isinstance(it, bool) else None)
    readings = {"true": True, "false": False}

    def test(value):
        value = readings.get(value.strip().lower())
        return None if value is None else value == wanted

    return history_or_now(test, *one_of(operation.get("operator"), EQUALITY))


NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def decimal(value):
    return Decimal(value.strip()) if NUMBER.fullmatch(value.strip()) else None


def number_test(operation):
    wanted = operands_of(operation, lambda it: Decimal(repr(it)))
    orders = {
        "IS_GREATER_THAN": lambda a, b: a > b, "IS_GREATER_THAN_OR_EQUAL_TO": lambda a, b: a >= b,
        "IS_LESS_THAN": lambda a, b: a < b, "IS_LESS_THAN_OR_EQUAL_TO": lambda a, b: a <= b,
    }
    order = orders.get(operation.get("operator"), lambda a, b: a == b)
    modes = dict.fromkeys(orders, (False, False)) | EQUALITY

    def test(value):
        value = decimal(value)
        return None if value is None else any(order(value, other) for other in wanted)

    return history_or_now(test, *one_of(operation.get("operator"), modes))


def number_between(operation):
    deny = one_of(operation.get("operator"), {"IS_BETWEEN": False, "IS_NOT_BETWEEN": True})
    low, high = operation.get("lowerBound"), operation.get("upperBound")
    if low is None or high is None:
        raise Unsupported("bound")

    def test(value):
        value = decimal(value)
        return None if value is None else Decimal(repr(low)) <= value <= Decimal(repr(high))

    return history_or_now(test, False, deny)


def has_words(value, words):
    def of_a_word(sign):
        return sign.isalnum() or "\u0300" <= sign <= "\u036f"

    for start in range(len(value) - len(words) + 1):
        around = value[start - 1 : start] if start else "", value[start + len(words) :][:1]
        if value.startswith(words, start) and not any(sign and of_a_word(sign) for sign in around):
            return True
    return False


def text_test(operation):
    wanted = operands_of(operation, lambda it: it.casefold() if isinstance(it, str) and it else None)
    tests = {
        "IS_EQUAL_TO": (str.__eq__, False, False), "IS_NOT_EQUAL_TO": (str.__eq__, False, True),
        "CONTAINS": (str.__contains__, False, False), "DOES_NOT_CONTAIN": (str.__contains__, False, True),
        "STARTS_WITH": (str.startswith, False, False), "ENDS_WITH": (str.endswith, False, False),
        "CONTAINS_EXACTLY": (has_words, False, False), "DOES_NOT_CONTAIN_EXACTLY": (has_words, False, True),
        "HAS_EVER_BEEN_EQUAL_TO": (str.__eq__, True, False),
        "HAS_NEVER_BEEN_EQUAL_TO": (str.__eq__, True, True),
        "HAS_EVER_CONTAINED": (str.__contains__, True, False),
        "HAS_NEVER_CONTAINED": (str.__contains__, True, True),
    }
    compare, ever, deny = one_of(operation.get("operator"), tests)
    return history_or_now(lambda value: any(compare(value.casefold(), it) for it in wanted), ever, deny)


def options_test(operation):
    def read(operand):
        return operand if isinstance(operand, str) and operand and ";" not in operand else None

    wanted = set(operands_of(operation, read))
    tests = {
        "ANY_OF": lambda has: bool(has & wanted),
        "EXACTLY": lambda has: has == wanted,
        "ALL": lambda has: has >= wanted,
    }
    modes = {
        "IS_ANY_OF": ("ANY_OF", False, False), "IS_NONE_OF": ("ANY_OF", False, True),
        "IS_EXACTLY": ("EXACTLY", False, False), "IS_NOT_EXACTLY": ("EXACTLY", False, True),
        "CONTAINS_ALL": ("ALL", False, False), "DOES_NOT_CONTAIN_ALL": ("ALL", False, True),
        "HAS_EVER_BEEN_ANY_OF": ("ANY_OF", True, False), "HAS_NEVER_BEEN_ANY_OF": ("ANY_OF", True, True),
        "HAS_EVER_BEEN_EXACTLY": ("EXACTLY", True, False),
        "HAS_NEVER_BEEN_EXACTLY": ("EXACTLY", True, True),
        "HAS_EVER_CONTAINED_ALL": ("ALL", True, False), "HAS_NEVER_CONTAINED_ALL": ("ALL", True, True),
    }
    test, ever, deny = one_of(operation.get("operator"), modes)

    def options(value):
        return {option.strip() for option in value.split(";")} - {""}

    return history_or_now(lambda value: tests[test](options(value)), ever, deny)


def same_text(operation):
    deny = one_of(operation.get("operator"), {"IS_EQUAL_TO": False, "IS_NOT_EQUAL_TO": True})
    name, default = operation.get("comparisonPropertyName"), operation.get("defaultComparisonValue")
    if not name:
        raise Unsupported("comparisonPropertyName")

    def test(value, _, look):
        other = None if look.is_unheard_of(name) else look.value(name) or default
        return None if not other else (value.casefold() == other.casefold()) != deny

    return test


def property_filter(filter, look):
    name, operation = filter.get("property"), filter.get("operation")
    if not name or not isinstance(operation, dict):
        raise Unsupported("PROPERTY")
    value = look.value(name)
    if look.is_unheard_of(name):
        return None
    if operation.get("operationType") == "ALL_PROPERTY":
        known = {"IS_KNOWN": True, "IS_UNKNOWN": False, "IS_NOT_KNOWN": False}
        return (value is not None) == one_of(operation.get("operator"), known)
    included = operation.get("includeObjectsWithNoValueSet") or False
    test = test_of(operation)
    return included if value is None else test(value, name, look)
