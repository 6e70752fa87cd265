"""What a model saw and said in training: `millgate/profile.json` beside its files, written at training, read here.

Training code calls `write`. The server exports the same edges and categories for what it sees and says, so that two
versions, or a version and its training data, can be compared bucket by bucket.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from millgate_serving import describe, model_file
from millgate_serving.describe import ProfileError
from millgate_serving.failure import Reason, ServingError
from millgate_serving.model_file import ModelFileError
from millgate_serving.signature import Signature
from millgate_serving.summary import MAX_BUCKETS, MAX_CATEGORIES, Categorical, Numeric

__all__ = ["FILE", "Profile", "ProfileError", "read", "write"]

FILE: Final = "millgate/profile.json"
_LIMIT_BYTES = 10 << 20


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Features as the signature names them; outputs as an answer names them, the first one `predictions`."""

    format: Literal[1]
    rows: int
    features: tuple[Numeric | Categorical, ...]
    outputs: tuple[Numeric | Categorical, ...]


def write(
    model: str | os.PathLike[str],
    inputs: Any,
    predictions: Any,
    *,
    outputs: Mapping[str, Any] | None = None,
    features: Sequence[str] | None = None,
) -> Profile:
    """Describe training rows and what the model answered to them, and put that beside the model's files.

    `model` is the folder that MLflow saved, or `models:/m-…` of a logged model (`log_model(…).model_uri`); write before
    the version is registered, as its files must not change afterwards. `inputs` is a DataFrame, a mapping of columns or
    an array, as the signature says. `predictions` has one entry a row: the first output. `outputs` are further ones by
    their names, `features` the inputs to describe, the most important first; all of them when left out.
    Raises ProfileError, which names the field.
    """

    def content(signature: Signature) -> bytes:
        rows, named = describe.features(signature, inputs, features)
        answered = describe.outputs(rows, predictions, outputs or {})
        return _encoded(Profile(1, rows, tuple(named), tuple(answered)))

    try:
        return _decoded(model_file.put(model, FILE, content))
    except ModelFileError as error:
        raise ProfileError(str(error)) from error


def _encoded(profile: Profile) -> bytes:
    """What the server would refuse, a name of a thousand letters for example, is refused here already."""
    content = msgspec.json.encode(profile)
    try:
        _decoded(content)
    except ServingError as error:
        raise ProfileError(error.message) from error
    indented: bytes = msgspec.json.format(content, indent=1)
    return indented + b"\n"


def read(directory: Path) -> Profile | None:
    """The profile of a model on disk, or None where it ships none. Raises ServingError ProfileInvalid."""
    path = directory / FILE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        content = file.read(_LIMIT_BYTES + 1)
    return _decoded(content)


def _decoded(content: bytes) -> Profile:
    if len(content) > _LIMIT_BYTES:
        raise invalid(f"it is larger than {_LIMIT_BYTES >> 20} MiB")
    try:
        profile = msgspec.json.decode(content, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what, _, place = str(error).partition(" - at `$")
        raise invalid(f"{place.strip('.`')}: {what}" if place else what) from error
    for side, variables in (("features", profile.features), ("outputs", profile.outputs)):
        for index, variable in enumerate(variables):
            _check(variable, f"{side}[{index}]")
        names = [variable.name for variable in variables]
        if len(set(names)) != len(names):
            raise invalid(f"{side}: a name stands there twice")
    return profile


def invalid(message: str) -> ServingError:
    """A profile that cannot be used, named by its file; the message begins with the field."""
    return ServingError(Reason.PROFILE_INVALID, f"{FILE}: {message}")


def _check(variable: Numeric | Categorical, place: str) -> None:
    """Finite numbers are given by JSON; what is left is their order and their number."""
    keys: tuple[float, ...] | tuple[str, ...]
    if isinstance(variable, Numeric):
        field, keys, limit, last = "edges", variable.edges, MAX_BUCKETS - 1, "+Inf"
        if any(low >= high for low, high in pairwise(variable.edges)):
            raise invalid(f"{place}.edges: they must ascend")
    else:
        field, keys, limit, last = "categories", variable.categories, MAX_CATEGORIES, "all others"
        if len(set(keys)) != len(keys):
            raise invalid(f"{place}.categories: one stands there twice")
    if len(keys) > limit:
        raise invalid(f"{place}.{field}: at most {limit}")
    if len(variable.counts) != len(keys) + 1:
        raise invalid(f"{place}.counts: {len(keys) + 1} are needed, one for each of {field} and one for {last}")
