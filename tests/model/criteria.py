"""The filter language a second time, written from its specification and not from the program.

`evaluate` answers for a filter branch and a contact with its surroundings; what is unknown is None. `cases.py` makes
up what it is asked.
"""

from basics import Unsupported, all_of, any_of, date_of, negated, number, one_of, zone_named
from points import after, before, denied, indexed_point, time_point, time_ranged, within
from dates import epoch
from values import property_filter


OBJECTS = {
    "0-1": "contact", "0-2": "company", "0-3": "deal", "0-5": "ticket", "0-27": "task",
    "0-46": "note", "0-47": "meeting", "0-48": "call", "0-49": "email",
}


# One fact under the ids of its two directions.
FACTS = {
    "company": [({"279", "280"}, "plain"), ({"1", "2"}, "primary")],
    "deal": [({"4", "3"}, "plain")],
    "ticket": [({"15", "16"}, "plain")],
}
# Some of those between other records than a contact and something.
ELSEWHERE = {"5", "341", "27"}


class Look:
    """A record at a moment; `around` is the scene where the record is the contact."""

    def __init__(self, scene, properties, history, created, around, records="contact"):
        self.scene, self.properties, self.history = scene, properties, history
        self.created, self.around = created, around
        self.unknown = scene.get("unknownProperties", {}).get(records, [])
        self.now = date_of(scene["now"])

    def value(self, name):
        return self.properties.get(name) or None

    def is_unheard_of(self, name):
        """The record has no value, and the account does not know the property."""
        return not self.value(name) and name in self.unknown

    def past(self, name):
        return [version["value"] for version in self.history.get(name, []) if version["value"]]

    def changed(self, name):
        versions = [(date_of(version["timestamp"]), version["value"]) for version in self.history.get(name, [])]
        if not versions:
            return self.created
        last = max(at for at, _ in versions)
        return last if (last, self.properties.get(name, "")) in versions else None

    def account_zone(self):
        return zone_named(self.scene["zone"])

    def beside(self, properties, created, records):
        return Look(self.scene, properties, {}, created, None, records)


def offset_from_now(refinement, name):
    offset = refinement.get(name)
    if not isinstance(offset, dict):
        raise Unsupported(name)
    sign = one_of(offset.get("offsetDirection"), {"PAST": -1, "FUTURE": 1})
    amount, unit = offset.get("amount"), offset.get("timeUnit")
    if not isinstance(amount, int) or amount < 0 or unit is None or unit != unit.upper():
        raise Unsupported(name)
    point = {"indexReference": {"referenceType": "NOW"}, "offset": {unit.lower(): sign * amount}}
    return indexed_point(point)


def moment_of(refinement):
    kind = refinement.get("type")
    if kind == "TIME_POINT":
        return time_point(refinement)
    if kind == "TIME_RANGED":
        return time_ranged(refinement)
    if kind in ("RELATIVE_COMPARATIVE", "ABSOLUTE_COMPARATIVE"):
        make = one_of(refinement.get("comparison"), {"BEFORE": before, "AFTER": after})
        relative = kind.startswith("RELATIVE")
        return make(offset_from_now(refinement, "timeOffset") if relative else epoch(refinement, "timestamp"))
    if kind == "RELATIVE_RANGED":
        bounds = [offset_from_now(refinement, name) for name in ("lowerBoundOffset", "upperBoundOffset")]
    elif kind == "ABSOLUTE_RANGED":
        bounds = [epoch(refinement, name) for name in ("lowerTimestamp", "upperTimestamp")]
    else:
        raise Unsupported(kind)
    deny = one_of(refinement.get("rangeType"), {"BETWEEN": False, "NOT_BETWEEN": True})
    return denied(within(*bounds)) if deny else within(*bounds)


def at_least(wanted, answers):
    surely = sum(answer is True for answer in answers)
    perhaps = sum(answer is not False for answer in answers)
    return True if surely >= wanted else False if perhaps < wanted else None


def refined(holder, happened, look):
    """`happened`: pairs of an instant and a function that asks the filters."""
    prune, coalesce = holder.get("pruningRefineBy"), holder.get("coalescingRefineBy")
    taken = moment_of(prune) if prune and prune.get("type") != "ALL_HISTORY" else lambda at, look: True
    kind = coalesce.get("type") if coalesce else "ALL_HISTORY"
    then = lambda at, look: True
    if kind not in ("ALL_HISTORY", "NUM_OCCURRENCES", "SET_OCCURRENCES"):
        then = moment_of(coalesce)
    low, high = 1, None
    if kind == "NUM_OCCURRENCES":
        high = number(coalesce, "maxOccurrences", 0, 2**40)
        low = number(coalesce, "minOccurrences", 0, 2**40, 0 if high == 0 else 1)
    sets = ["ALL", "ALL_INCLUDE_EMPTY", "ANY", "ANY_INCLUDE_EMPTY", "NONE", "NONE_EXCLUDE_EMPTY"]
    if kind == "SET_OCCURRENCES" and coalesce.get("setType") not in sets:
        raise Unsupported("setType")

    there = [
        (all_of([is_another, taken(at, look)]), all_of([asked(), then(at, look)]))
        for at, is_another, asked in happened
    ]
    passing = [all_of([counts, passes]) for counts, passes in there]
    failing = [all_of([counts, negated(passes)]) for counts, passes in there]
    if kind == "SET_OCCURRENCES":
        some = any_of(counts for counts, _ in there)
        return {
            "ALL": all_of([some, negated(any_of(failing))]),
            "ALL_INCLUDE_EMPTY": negated(any_of(failing)),
            "ANY": any_of(passing),
            "ANY_INCLUDE_EMPTY": any_of([*passing, negated(some)]),
            "NONE": negated(any_of(passing)),
            "NONE_EXCLUDE_EMPTY": all_of([some, negated(any_of(passing))]),
        }[coalesce["setType"]]
    enough = at_least(low, passing)
    return enough if high is None else all_of([enough, negated(at_least(high + 1, passing))])


def in_list(filter, look):
    deny = one_of(filter.get("operator"), {"IN_LIST": False, "NOT_IN_LIST": True})
    metadata, states = filter.get("metadata"), {True}
    kind, list_id = "segments", filter.get("listId")
    if metadata is not None:
        kind, list_id = "workflows", metadata.get("id")
        states = one_of(metadata.get("inListType"), {
            "WORKFLOWS_ENROLLMENT": {"active", "past"},
            "WORKFLOWS_ACTIVE": {"active"},
            "WORKFLOWS_COMPLETED": {"past"},
        })
    if look.around is None or list_id not in look.around.get(kind, {}):
        return None
    return (look.around[kind][list_id] in states) != deny


def form_submission(filter, look):
    deny = one_of(filter.get("operator"), {"FILLED_OUT": False, "NOT_FILLED_OUT": True})
    wanted = filter.get("formId")
    if look.around is None or not (wanted in look.around["keptForms"] if wanted else look.around["keptForms"]):
        return None
    forms = [form for form in look.around.get("submissions", []) if wanted in (None, form["formId"])]
    truth = refined(filter, [(date_of(form["submittedAt"]), True, lambda: True) for form in forms], look)
    return negated(truth) if deny else truth


def constant(filter, _):
    return one_of(filter.get("shouldAccept"), {True: True, False: False})


FILTERS = {
    "PROPERTY": property_filter, "IN_LIST": in_list, "FORM_SUBMISSION": form_submission, "CONSTANT": constant,
}


def judge(part, look, filters, key):
    """One filter or branch; what is not understood is unknown."""
    try:
        return one_of(part.get(key), filters)(part, look)
    except Unsupported:
        return None


def parts(branch, look, within_and):
    here = BRANCHES | ({"ASSOCIATION": association} if within_and else {})
    return [
        *[judge(part, look, FILTERS, "filterType") for part in branch.get("filters") or []],
        *[judge(part, look, here, "filterBranchType") for part in branch.get("filterBranches") or []],
    ]


def fact_of(kind, type_id):
    return next((meaning for ids, meaning in FACTS.get(kind, []) if type_id in ids), None)


def is_as_asked(branch, kind, other):
    """Is it associated as asked? None: the types cannot be compared."""
    wanted, carried = branch.get("associationTypeId"), other.get("associationTypeId")
    if wanted is None or carried is None:
        return True
    by_vendor = branch.get("associationCategory", "HUBSPOT_DEFINED") == "HUBSPOT_DEFINED"
    asked, told = fact_of(kind, str(wanted)) if by_vendor else None, fact_of(kind, carried)
    if asked and told:
        return asked == told or (asked, told) == ("plain", "primary")
    return True if not asked and not told and str(wanted) == carried else None


def association(branch, look):
    deny = one_of(branch.get("operator"), {"IN_LIST": False, "NOT_IN_LIST": True})
    kind, wanted = one_of(branch.get("objectTypeId"), OBJECTS), branch.get("associationTypeId")
    by_vendor = branch.get("associationCategory", "HUBSPOT_DEFINED") == "HUBSPOT_DEFINED"
    if by_vendor and (str(wanted) in ELSEWHERE or any(fact_of(of, str(wanted)) for of in FACTS if of != kind)):
        raise Unsupported("associationTypeId")
    if look.around is None:
        return None
    others = [other for other in look.around.get("associated", []) if other["type"] == kind]
    if not others and kind not in look.around["keptAssociations"]:
        return None
    truth = any_of(
        all_of([is_as_asked(branch, kind, it), *parts(branch, look.beside(it["properties"], None, kind), True)])
        for it in others
    )
    return negated(truth) if deny else truth


def may_be_one(event, other):
    """At one moment, and nothing that both tell of differs."""
    shared = event["properties"].keys() & other["properties"].keys()
    return date_of(event["occurredAt"]) == date_of(other["occurredAt"]) and all(
        event["properties"][name] == other["properties"][name] for name in shared
    )


def unified_events(branch, look):
    deny = one_of(branch.get("operator"), {"HAS_COMPLETED": False, "HAS_NOT_COMPLETED": True})
    kind = branch.get("eventTypeId")
    if not kind:
        raise Unsupported("eventTypeId")
    if look.around is None:
        return None
    stored = [event for event in look.around.get("events", []) if event["eventTypeId"] == kind]
    new = look.around.get("event")
    if kind not in look.around["keptEvents"] and (new is None or new["eventTypeId"] != kind):
        return None

    def asked(event, is_another=True):
        at = date_of(event["occurredAt"])
        beside = look.beside(event["properties"], at, f"event:{kind}")
        return at, is_another, lambda: all_of(parts(branch, beside, False))

    happened = [asked(event) for event in stored]
    if new is not None and new["eventTypeId"] == kind and new not in stored:
        happened.append(asked(new, None if any(may_be_one(new, event) for event in stored) else True))
    truth = refined(branch, happened, look)
    return negated(truth) if deny else truth


BRANCHES = {
    "AND": lambda branch, look: all_of(parts(branch, look, True)),
    "OR": lambda branch, look: any_of(parts(branch, look, False)),
    "NOT_ALL": lambda branch, look: negated(all_of(parts(branch, look, False))),
    "NOT_ANY": lambda branch, look: negated(any_of(parts(branch, look, False))),
    "UNIFIED_EVENTS": unified_events,
}

AROUND = "now zone createdAt history segments workflows associated events submissions event keptEvents keptForms keptAssociations unknownProperties".split()


def evaluate(branch, scene):
    """accepts, rejects or unsupported."""
    properties = {name: value for name, value in scene.items() if name not in AROUND}
    created = date_of(scene["createdAt"]) if scene.get("createdAt") else None
    look = Look(scene, properties, scene.get("history", {}), created, scene)
    return {True: "accepts", False: "rejects", None: "unsupported"}[judge(branch, look, BRANCHES, "filterBranchType")]
