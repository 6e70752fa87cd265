"""For Schemathesis: what the rules of a request say that JSON Schema cannot, applied to the valid cases it makes.

Cases that are meant to be invalid are sent as they are.
"""

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):  # noqa: ARG001 - the names of the hook
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE:
        case.body = kept(case.body)


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
