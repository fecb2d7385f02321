"""Cases for the filter language: `cases.py SEED COUNT` writes COUNT of them as JSON Lines.

Each is a filter branch, a contact with what surrounds it, and the model's verdict.
"""

import json
import random
import sys

import criteria
import dates
import points
from criteria import OBJECTS
from draft import Draft, rfc3339


class Author(Draft):
    """Makes up one case."""

    def refinement(self, prune):
        kinds = ["ALL_HISTORY", "RELATIVE_COMPARATIVE", "RELATIVE_RANGED", "ABSOLUTE_COMPARATIVE", "ABSOLUTE_RANGED",
            "TIME_POINT", "TIME_RANGED"] + ([] if prune else ["NUM_OCCURRENCES"] * 3 + ["SET_OCCURRENCES"] * 3)
        kind, rng = self.rng.choice(kinds), self.rng
        away = self.some_time() // 1000
        shift = lambda: {"amount": rng.randrange(0, 9), "offsetDirection": rng.choice(["PAST", "PAST", "FUTURE"]),
                         "timeUnit": rng.choice(["YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS"])}
        if kind in ("TIME_POINT", "TIME_RANGED"):
            needed = []
            operation, _ = self.time_operation(kind, needed)
            return {"type": kind} | operation
        comparison = {"comparison": rng.choice(["BEFORE", "AFTER"])}
        between = {"rangeType": rng.choice(["BETWEEN", "NOT_BETWEEN"])}
        members = {
            "ALL_HISTORY": {},
            "RELATIVE_COMPARATIVE": comparison | {"timeOffset": shift()},
            "RELATIVE_RANGED": between | {"lowerBoundOffset": shift(), "upperBoundOffset": shift()},
            "ABSOLUTE_COMPARATIVE": comparison | {"timestamp": away},
            "ABSOLUTE_RANGED": between | {"lowerTimestamp": away, "upperTimestamp": away + rng.choice([0, 10**8])},
            "NUM_OCCURRENCES": self.maybe(0.7, {"minOccurrences": rng.randrange(0, 4)})
            | self.maybe(0.5, {"maxOccurrences": rng.randrange(0, 4)}),
            "SET_OCCURRENCES": {"setType": rng.choice(["ALL", "ALL_INCLUDE_EMPTY", "ANY", "ANY_INCLUDE_EMPTY", "NONE",
                                                       "NONE_EXCLUDE_EMPTY", "MOST"])},
        }
        return {"type": kind} | members[kind]

    def refinements(self):
        """Members, and where their boundaries lie."""
        found, makers = {}, []
        for name in ("pruningRefineBy", "coalescingRefineBy"):
            if self.often(0.5):
                refinement = found[name] = self.refinement(name == "pruningRefineBy")
                for offset in ("timeOffset", "lowerBoundOffset", "upperBoundOffset"):
                    makers.append(lambda it=refinement, offset=offset: criteria.offset_from_now(it, offset))
                for at in ("timestamp", "lowerTimestamp", "upperTimestamp"):
                    makers.append(lambda it=refinement, at=at: dates.epoch(it, at))
                for point in ("timePoint", "lowerBoundTimePoint", "upperBoundTimePoint"):
                    makers.append(lambda it=refinement, point=point: points.point_of(it, point))
        return found, makers

    def record(self, of):
        return {"of": of, "properties": {}, "history": {}}

    def filters(self, most=2):
        return [self.property_filter() for _ in range(self.rng.randrange(0, most + 1))]

    def association_type(self, object_type):
        """Mostly one of the vendor's between contacts and such objects, else anybody's."""
        known = [id for ids, _ in criteria.FACTS.get(OBJECTS.get(object_type), []) for id in sorted(ids)]
        return self.rng.choice([*known, *known, "37", "38", *(["5", "27"] if self.often(0.1) else [])])

    def association(self, depth):
        object_type = self.rng.choice([*list(OBJECTS)[1:4], "2-77"] if self.often(0.1) else list(OBJECTS)[1:4])
        filters = self.filters()
        branch = {"filterBranchType": "ASSOCIATION", "objectTypeId": object_type, "filters": [it for it, _ in filters],
            "operator": self.rng.choice(["IN_LIST", "NOT_IN_LIST"]), "filterBranches": [],
            **self.maybe(0.5, {"associationTypeId": int(self.association_type(object_type))}),
            **self.maybe(0.5, {"associationCategory": self.rng.choice(["HUBSPOT_DEFINED"] * 4 + ["USER_DEFINED"])})}
        if depth > 0 and self.often(0.1):
            branch["filterBranches"].append(self.branch(depth - 1))
        for _ in range(self.rng.randrange(0, 4)):
            kind = OBJECTS.get(object_type, "deal")
            record = self.record(kind)
            for _, give in filters:
                give(record)
            self.scene["associated"].append({"type": kind, "properties": record["properties"],
                **self.maybe(0.7, {"associationTypeId": self.association_type(object_type)}),
                "inward": self.often(0.5)})
        return branch

    def unified_events(self, depth):
        kind, filters = self.rng.choice(["e", "f"]), self.filters()
        members, makers = self.refinements()
        branch = {"filterBranchType": "UNIFIED_EVENTS", "eventTypeId": kind, "filters": [it for it, _ in filters],
            "operator": self.rng.choice(["HAS_COMPLETED", "HAS_NOT_COMPLETED"]), "filterBranches": [], **members}
        if depth > 0 and self.often(0.1):
            branch["filterBranches"].append(self.branch(depth - 1))
        bounds = self.boundaries(makers)
        for _ in range(self.rng.randrange(0, 5)):
            record = self.record(f"event:{kind}")
            for _, give in filters:
                give(record)
            at = rfc3339(self.near(self.rng.choice(bounds)))
            event = {"eventTypeId": kind, "occurredAt": at, "properties": record["properties"]}
            if self.often(0.85):
                self.scene["events"].append(event)
                self.scene["keptEvents"] = sorted({*self.scene["keptEvents"], kind})
            if self.often(0.2):
                self.scene["event"] = event
        return branch

    def form_submission(self):
        members, makers = self.refinements()
        bounds = self.boundaries(makers)
        for _ in range(self.rng.randrange(0, 3) if self.scene["keptForms"] else 0):
            at = rfc3339(self.near(self.rng.choice(bounds)))
            self.scene["submissions"].append({"formId": self.rng.choice(["x", "y"]), "submittedAt": at})
        return {"filterType": "FORM_SUBMISSION", "operator": self.rng.choice(["FILLED_OUT", "NOT_FILLED_OUT"]),
            **self.maybe(0.7, {"formId": self.rng.choice(["x", "y", "z"])}), **members}

    def in_list(self):
        filter = {"filterType": "IN_LIST", "operator": self.rng.choice(["IN_LIST", "NOT_IN_LIST"])}
        if self.often(0.5):
            return filter | {"listId": self.rng.choice(["4", "4", "5", "5", "6"])}
        kinds = ["WORKFLOWS_ENROLLMENT", "WORKFLOWS_ACTIVE", "WORKFLOWS_COMPLETED"] * 3 + ["WORKFLOWS_GOAL"]
        workflow = self.rng.choice(["7", "8", "9", "7", "8", "9", "10"])
        return filter | {"listId": workflow, "metadata": {"id": workflow, "inListType": self.rng.choice(kinds)}}

    # --- Branches -------------------------------------------------------------------------------------------------

    def filter(self):
        way = self.rng.random()
        if way < 0.72:
            filter, give = self.property_filter()
            give(self.contact)
            return filter
        if way < 0.82:
            return self.in_list()
        if way < 0.90:
            return self.form_submission()
        if way < 0.95:
            return {"filterType": "CONSTANT", "shouldAccept": self.often(0.5)}
        return {"filterType": self.rng.choice(["PAGE_VIEW", "EMAIL_SUBSCRIPTION", "PRIVACY", "ADS_TIME", "WEBINAR"])}

    def branch(self, depth):
        way = self.rng.random()
        if way < 0.12:
            return self.unified_events(depth)
        if way < 0.24:
            return self.association(depth)
        kind = self.rng.choice(["AND", "AND", "AND", "OR", "OR", "NOT_ALL", "NOT_ANY", "AND", "OR"])
        if self.often(0.02):
            kind = "RESTRICTED"
        filters = [self.filter() for _ in range(self.rng.choice([0, 1, 1, 2, 3]))]
        children = self.rng.choice([0, 0, 1, 2]) if depth > 0 else 0
        branches = [self.branch(depth - 1) for _ in range(children)]
        branch = {"filterBranchType": kind, "filters": filters, "filterBranches": branches}
        if (filters or branches) and self.often(0.1):
            branch = {name: value for name, value in branch.items() if value != []}
        return branch | self.maybe(0.2, {"filterBranchOperator": kind})

    def case(self):
        self.contact = {"of": "contact", "properties": {}, "history": self.scene["history"]}
        if self.often(0.5):
            # One filter alone shows most.
            filter, give = self.property_filter()
            give(self.contact)
            branch = {"filterBranchType": "AND", "filters": [filter], "filterBranches": []}
        else:
            branch = {"filterBranchType": "AND", "filters": [], "filterBranches": [self.branch(2)]}
        scene = self.scene | self.contact["properties"]
        return {"branch": branch, "scene": scene, "verdict": criteria.evaluate(branch, scene)}



def main(seed, count):
    for index in range(count):
        case = Author(random.Random(f"{seed}/{index}")).case()
        sys.stdout.write(json.dumps(case, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
