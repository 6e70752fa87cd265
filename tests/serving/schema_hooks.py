"""For Schemathesis: what the rules of a request say that JSON Schema cannot, applied to the valid cases it makes.

Cases that are meant to be invalid are sent as they are, but for numbers that only decimals can tell from a bound.
"""

import itertools
import math
from decimal import Decimal

import numpy as np
import schemathesis
from schemathesis import GenerationMode

ROWS = 2
EMPTY = {"BOOL": False, "BYTES": ""}
LARGEST = [int(Decimal(repr(float(np.finfo(kind).max)))) for kind in ("f4", "f8")]  # as the document writes them


@schemathesis.hook
def before_call(context, case, kwargs):  # noqa: ARG001 - the names of the hook
    if case.headers and str(case.headers.get("x-request-timeout-ms", "")).isdigit():
        case.headers["x-request-timeout-ms"] = "30000"  # a passed deadline is a 504, and rightly so
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        case.body = outside(case.body)
        return
    case.body = kept(case.body)
    if case.path.endswith("/infer") and case.media_type == "application/json" and isinstance(case.body, dict):
        schemas = case.operation.schema.raw_schema["components"]["schemas"]
        tensors = schemas["InferRequest"]["properties"]["inputs"]["items"]["anyOf"]
        row = described_row(schemas)
        case.body = case.body | {"inputs": [fitting(case.body.get("inputs"), tensor, row) for tensor in tensors]}


def outside(body):
    """The largest float and 1 is that float again: a number past it by less than a float can tell is doubled."""
    if type(body) is int and any(0 < abs(body) - largest < largest // 10**17 for largest in LARGEST):
        return 2 * body
    if isinstance(body, list):
        return [outside(item) for item in body]
    if isinstance(body, dict):
        return {name: outside(value) for name, value in body.items()}
    return body


def kept(body):
    """Whole numbers without a fraction, as integers are written; and all columns of one length."""
    if isinstance(body, float) and body.is_integer() and abs(body) < 2**63:
        return int(body)
    if isinstance(body, list):
        return [kept(item) for item in body]
    if not isinstance(body, dict):
        return body
    body = {name: kept(value) for name, value in body.items()}
    columns = body.get("columns")
    if isinstance(columns, dict) and columns:
        shortest = min(map(len, columns.values()))
        body["columns"] = {name: values[:shortest] for name, values in columns.items()}
    return body


def described_row(schemas):
    """Of /predict, which says how many values each input has; a model of one unnamed tensor has no names."""
    row = schemas["RowsRequest"]["properties"]["rows"]["items"]
    return schemas["Row"]["properties"] if "$ref" in row else {"input": row}


def fitting(inputs, tensor, row):
    """Every input once, of the datatype that is its own, with as many values as its shape counts."""
    name, datatype = tensor["properties"]["name"]["const"], tensor["properties"]["datatype"]["enum"][0]
    made = [item.get("data") or [] for item in inputs or () if item.get("name") == name]
    values = [value for data in made for value in data if not isinstance(value, list)]
    shape = [ROWS, *sizes(row[name])]
    data = itertools.islice(itertools.cycle(values or [EMPTY.get(datatype, 0)]), math.prod(shape))
    return {"name": name, "datatype": datatype, "shape": shape, "data": list(data)}


def sizes(value):
    """Of a value's dimensions; one where any size is allowed."""
    found = []
    while "array" in value.get("type", ""):
        found.append(value.get("minItems", 1))
        value = value["items"]
    return found
