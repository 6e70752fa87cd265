"""`POST /feedback`: labels that come later are joined to what was answered, and counted as quality.

The pod that answered remembers its last rows. A label that reaches another pod is judged by what the client was
answered, if it sends that along: the body may be the answer itself with `labels` added to it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct

from millgate_serving import confidence
from millgate_serving.access_log import Clock
from millgate_serving.exchange import Exchange
from millgate_serving.quality import Label, Qualities, Quality
from millgate_serving.recall import Recall, code_of
from millgate_serving.refusal import Refusal

MAX_LABELS: Final = 10_000
MAX_ENTRIES: Final = 1_000
_LARGEST = 1e100  # its square still is a number

Labels = Annotated[list[Label], Meta(min_length=1, max_length=MAX_LABELS)]


class Entry(Struct, forbid_unknown_fields=True):
    """The labels of one request, in the order of its rows; `model` and `outputs` are there as in the answer."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]
    labels: Labels
    predictions: Annotated[list[Any], Meta(max_length=MAX_LABELS)] | None = None
    outputs: dict[str, Any] | None = None
    model: str | None = None
    version: Annotated[str, Meta(max_length=64)] | None = None


class _Batch(Struct, forbid_unknown_fields=True):
    feedback: Annotated[list[Entry], Meta(min_length=1, max_length=MAX_ENTRIES)]


class _Joined(Struct):
    """How many labels were counted, were of no known request, or came again."""

    joined: int = 0
    unknown: int = 0
    repeated: int = 0


class Feedback:
    """A sink for what is answered, and the answer to what is said of it later."""

    def __init__(
        self, rows: int, qualities: Qualities, version: str, outputs: tuple[str, ...], place: int | None
    ) -> None:
        self.qualities = qualities
        self._version = version
        self._place = place
        self._confidence_name = None if place is None else outputs[place]
        self._recall = Recall(rows, place, numeric=qualities.kind != "class")
        self._lock = Lock()
        self._decode = msgspec.json.Decoder(Entry).decode
        self._decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._decode_batch = msgspec.json.Decoder(_Batch).decode
        self._clock = Clock()
        self.keep: Callable[[bytes], None] | None = None
        """Where labels go to, beside the predictions."""

    def __call__(self, exchanges: Sequence[Exchange]) -> None:
        answered = [(each.request_id, each.outputs) for each in exchanges if each.status == 200 and each.outputs]
        if answered:
            with self._lock:
                self._recall.remember(answered)

    async def answer(self, body: bytes) -> bytes:
        """The JSON of an answer. Raises Refusal 400 and 413."""
        entries = self._entries(body)
        # A thousand ids are looked for in up to a million rows: not on the event loop.
        return await asyncio.get_running_loop().run_in_executor(None, self._join, entries)

    def _entries(self, body: bytes) -> list[Entry]:
        try:
            several = "feedback" in self._decode_keys(body)
            entries = self._decode_batch(body).feedback if several else [self._decode(body)]
        except msgspec.ValidationError as error:
            raise Refusal(400, _explained(str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refusal(400, "the body is not JSON") from None
        if sum(len(entry.labels) for entry in entries) > MAX_LABELS:
            raise Refusal(413, f"labels: at most {MAX_LABELS} a request")
        for number, entry in enumerate(entries):
            self._check(entry, f"feedback[{number}]." if len(entries) > 1 else "")
        return entries

    def _check(self, entry: Entry, place: str) -> None:
        if entry.predictions is not None and len(entry.predictions) != len(entry.labels):
            raise Refusal(400, f"{place}labels: as many as predictions are needed, one for each row")
        if self.qualities.kind == "class":
            return
        for number, label in enumerate(entry.labels):
            if isinstance(label, str) or not -_LARGEST <= label <= _LARGEST:
                raise Refusal(400, f"{place}labels[{number}]: must be a number, as the model's predictions are")
            if self.qualities.kind == "probability" and label not in {0, 1}:
                raise Refusal(
                    400, f"{place}labels[{number}]: must be 0, 1, false or true, as the model answers probabilities"
                )

    def _join(self, entries: list[Entry]) -> bytes:
        result = _Joined()
        for entry in entries:
            with self._lock:  # for each anew, because the event loop may wait for it
                self._join_one(entry, result)
        if self.keep is not None:
            for entry in entries:
                self.keep(_line(self._clock.text(time.time()), entry))
        return msgspec.json.encode(result)

    def _join_one(self, entry: Entry, result: _Joined) -> None:
        places = self._recall.find(entry.id).tolist()
        if len(places) == len(entry.labels):
            self._judge_known(entry, places, result)
        elif not places and entry.predictions is not None and entry.version is not None:
            self._judge_told(entry, entry.predictions, entry.version, result)
        else:
            self._unknown(len(entry.labels), result)

    def _unknown(self, labels: int, result: _Joined) -> None:
        result.unknown += labels
        self.qualities.unknown += labels

    def _judge_known(self, entry: Entry, places: list[int], result: _Joined) -> None:
        quality = self.qualities.of(self._version)
        for place, label in zip(places, entry.labels, strict=True):
            answered = self._recall.judge(place)
            if answered is None:
                result.repeated += 1
                self.qualities.repeated += 1
                continue
            result.joined += 1
            self._add(quality, answered[0], answered[1], label)

    def _judge_told(self, entry: Entry, predictions: list[Any], version: str, result: _Joined) -> None:
        """By what the client says it was answered; whoever may ask for predictions may also judge them."""
        quality = self.qualities.of(version)
        sure = self._sure(entry, predictions)
        for prediction, confident, label in zip(predictions, sure, entry.labels, strict=True):
            if self.qualities.kind == "class":
                answer: float | int = code_of(prediction)
            elif isinstance(prediction, int | float) and -_LARGEST <= prediction <= _LARGEST:
                answer = prediction
            else:
                self._unknown(1, result)
                continue
            result.joined += 1
            self._add(quality, answer, confident, label)

    def _sure(self, entry: Entry, predictions: list[Any]) -> list[float | None]:
        nothing: list[float | None] = [None] * len(predictions)
        if self._place is None:
            return nothing
        values = predictions if self._place == 0 else (entry.outputs or {}).get(self._confidence_name or "")
        if not isinstance(values, list) or len(values) != len(predictions):
            return nothing
        try:
            found = confidence.of(values if isinstance(values[0], dict) else np.array(values, np.float64))
        except (ValueError, TypeError, AttributeError, OverflowError):  # whatever a client may send as outputs
            return nothing
        return nothing if found is None else [float(one) if one == one else None for one in found]  # noqa: PLR0124

    def _add(self, quality: Quality, answer: float, sure: float | None, label: Label) -> None:
        match self.qualities.kind:
            case "class":
                quality.add_class(correct=answer == code_of(label), confidence=sure)
            case "probability":
                quality.add_class(correct=(answer >= 0.5) == bool(label), confidence=sure)
            case "value":
                quality.add_value(answer, float(label))


def _line(moment: str, entry: Entry) -> bytes:
    document = {"event": "feedback", "time": moment, "requestId": entry.id, "labels": entry.labels}
    if entry.version is not None:
        document["version"] = entry.version
    return msgspec.json.encode(document) + b"\n"


def _explained(message: str) -> str:
    """What msgspec says, the place first. A name that a client chose is left out."""
    what, _, place = message.partition(" - at `$")
    if what.startswith("Object contains unknown field"):
        what = "unknown field; allowed: id, labels, predictions, outputs, model, version"
    place = place.removesuffix("`").removeprefix(".")
    what = what.replace("`", "'")
    what = what[0].lower() + what[1:]
    return f"{place}: {what}" if place else what
