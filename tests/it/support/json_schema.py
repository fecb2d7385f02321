"""Judges values by the JSON Schemas of a document.

Standard input: {"document": ..., "judged": [["#/pointer/to/a/schema", value], ...]}. Standard output: for each in turn what
is wrong with it, or null.
"""

import json
import sys

from jsonschema import Draft7Validator, RefResolver
from jsonschema.exceptions import best_match


def complaint(schema, value, resolver):
    error = best_match(Draft7Validator({"$ref": schema}, resolver=resolver).iter_errors(value))
    return error and f"{error.json_path}: {error.message}"


asked = json.load(sys.stdin)
resolver = RefResolver.from_schema(asked["document"])
print(json.dumps([complaint(schema, value, resolver) for schema, value in asked["judged"]]))
