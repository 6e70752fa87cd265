"""What a model saw and said in training: `millgate/profile.json` beside its files, written at training, read here.

Training code calls `write`. The server exports the same edges and categories for what it sees and says, so that two
versions, or a version and its training data, can be compared bucket by bucket.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from millgate_serving import describe, mlmodel
from millgate_serving.describe import ProfileError
from millgate_serving.failure import Reason, ServingError
from millgate_serving.summary import MAX_BUCKETS, MAX_CATEGORIES, Categorical, Numeric

__all__ = ["FILE", "Profile", "ProfileError", "read", "write"]

FILE: Final = "millgate/profile.json"
_LIMIT_BYTES = 10 << 20
_LOGGED_MODEL = "models:/m-"


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
    if str(model).startswith(_LOGGED_MODEL):
        return _write_to_registry(str(model), inputs, predictions, outputs, features)
    if ":/" in str(model):
        raise ProfileError("model: a folder, or models:/m-… of a logged model (log_model(…).model_uri), is needed")
    folder = Path(model)
    profile = _profile(folder, inputs, predictions, outputs, features)
    _save(profile, folder / FILE)
    return profile


def _profile(
    folder: Path,
    inputs: Any,
    predictions: Any,
    outputs: Mapping[str, Any] | None,
    features: Sequence[str] | None,
) -> Profile:
    try:
        signature = mlmodel.read_signature(folder)
    except ServingError as error:
        raise ProfileError(f"model: {error.message}") from error
    rows, named = describe.features(signature, inputs, features)
    answered = describe.outputs(rows, predictions, outputs or {})
    return Profile(1, rows, tuple(named), tuple(answered))


def _write_to_registry(uri: str, inputs: Any, predictions: Any, *further: Any) -> Profile:
    import mlflow  # noqa: PLC0415 - training code has it; a server has not

    client, identity = mlflow.MlflowClient(), uri.removeprefix("models:/")
    with tempfile.TemporaryDirectory() as folder:
        where = client.get_logged_model(identity).artifact_location
        mlflow.artifacts.download_artifacts(f"{where}/MLmodel", dst_path=folder)
        profile = _profile(Path(folder), inputs, predictions, *further)
        path = Path(folder) / FILE
        _save(profile, path)
        client.log_model_artifact(identity, str(path), path.parent.name)
    return profile


def _save(profile: Profile, path: Path) -> None:
    """What the server would refuse, a name of a thousand letters for example, is refused here already."""
    content = msgspec.json.encode(profile)
    try:
        _decoded(content)
    except ServingError as error:
        raise ProfileError(error.message) from error
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(content, indent=1) + b"\n")


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
