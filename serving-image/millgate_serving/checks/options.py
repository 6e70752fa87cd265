"""What a gate may ask of each check, with its defaults: docs/checks.md, section Options, as types."""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from millgate_serving.checks.verdict import CheckReason, cannot_tell

Metric = Literal["Accuracy", "AbsoluteError"]
_Positive = Annotated[float, Meta(gt=0)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Tolerance = Annotated[float, Meta(ge=0, le=1e6)]
_Margin = Annotated[float, Meta(ge=0, lt=1)]
_Alpha = Annotated[float, Meta(gt=0, le=0.2)]
_Ratio = Annotated[float, Meta(ge=1, le=1000)]
_Rows = Annotated[int, Meta(ge=30, le=10_000_000)]  # below 30 the intervals of means do not hold
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Path = Annotated[str, Meta(max_length=1024)]


class Options(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`data`: rows; empty for the default of the check."""

    data: _Path = ""


class SmokeOptions(Options, frozen=True):
    absolute_tolerance: _Tolerance = 1e-6
    relative_tolerance: _Tolerance = 1e-4


class SchemaOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There are none."""


class _Judged(Options, frozen=True):
    label: _Name = "label"
    output: _Name = "predictions"
    metric: Metric | None = None
    threshold: float | None = None
    min_accuracy: _Share | None = None
    max_error: _Positive | None = None
    alpha: _Alpha = 0.05


class AccuracyOptions(_Judged, frozen=True):
    margin: _Margin = 0.01
    min_samples: _Rows = 500


class FairnessOptions(_Judged, frozen=True):
    segment_by: Annotated[str, Meta(max_length=256)] = ""
    margin: _Margin = 0.05
    min_samples: _Rows = 200
    positive: _Name | None = None
    min_selection_ratio: _Share = 0.8


class LatencyOptions(Options, frozen=True):
    rate_per_second: Annotated[float, Meta(gt=0, le=100_000)] | None = None
    peak_requests_per_second: Annotated[float, Meta(ge=0, le=100_000)] | None = None
    duration_seconds: Annotated[float, Meta(ge=1, le=3600)] = 240.0
    quantile: Annotated[float, Meta(ge=0.5, le=0.999)] = 0.99
    max_ratio: _Ratio = 1.5
    max_seconds: _Positive | None = None
    min_samples: _Rows = 1000
    alpha: _Alpha = 0.05


class MemoryOptions(Options, frozen=True):
    max_ratio: _Ratio = 1.5
    max_share_of_limit: Annotated[float, Meta(gt=0, le=1)] = 0.8
    repeats: Annotated[int, Meta(ge=1, le=20)] = 3


_Wanted = TypeVar("_Wanted", bound=msgspec.Struct)


def read(text: str, kind: type[_Wanted]) -> _Wanted:
    """From MILLGATE_CHECK_OPTIONS; numbers may be text. Ends the check with OptionsInvalid, which names the option."""
    try:
        return msgspec.json.decode(text or "{}", type=kind, strict=False)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        name = place.removesuffix("`")
        allowed = ", ".join(kind.__struct_encode_fields__) or "none"
        told = f"{name}: {what}" if name else f"{what}; options of this check: {allowed}"
        raise cannot_tell(CheckReason.OPTIONS_INVALID, told.replace("`", "'")) from error
    except msgspec.DecodeError as error:
        raise cannot_tell(CheckReason.OPTIONS_INVALID, "MILLGATE_CHECK_OPTIONS is not JSON") from error
