"""What is asked of a server: bodies with one or a hundred rows, and how its answer is read back as labels."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from e2e.bench.serving.subject import NAMES, Subject

Labels = Callable[[bytes, Mapping[str, str]], list[int]]
Body = Callable[[list[list[float]]], tuple[bytes, dict[str, str]]]

JSON_LENGTH = "inference-header-content-length"
BODIES = 16
"""Different ones, asked in turn."""


@dataclass(frozen=True)
class Form:
    """One protocol in one encoding. `body` gives the bytes and their headers, `labels` reads an answer."""

    encoding: str
    path: str
    body: Body
    labels: Labels


@dataclass(frozen=True)
class Case:
    """A form with a number of rows a request."""

    form: Form
    rows: int

    @property
    def name(self) -> str:
        return f"{self.rows} {'row' if self.rows == 1 else 'rows'}, {self.form.encoding}"

    def asked(self, subject: Subject) -> list["Asked"]:
        made = []
        for number in range(BODIES):
            start = number * self.rows
            body, headers = self.form.body(subject.rows[start : start + self.rows])
            made.append(Asked(body, headers, subject.labels[start : start + self.rows]))
        return made


@dataclass(frozen=True)
class Asked:
    """A body and the labels that are right for it."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    labels: list[int] = field(default_factory=list)


def _json(document: object) -> tuple[bytes, dict[str, str]]:
    return msgspec.json.encode(document), {"content-type": "application/json"}


def _decoded(body: bytes) -> dict[str, list[float]]:
    found: dict[str, list[float]] = msgspec.json.decode(body)
    return found


def named_rows(path: str) -> Form:
    """Millgate's own: {"rows": [{"f0": …}]}."""
    return Form(
        "JSON",
        path,
        lambda rows: _json({"rows": [dict(zip(NAMES, row, strict=True)) for row in rows]}),
        lambda body, _: list(map(int, _decoded(body)["predictions"])),
    )


def dataframe_split(path: str) -> Form:
    """MLflow's own, in the faster of its two forms."""
    return Form(
        "JSON",
        path,
        lambda rows: _json({"dataframe_split": {"columns": NAMES, "data": rows}}),
        lambda body, _: list(map(int, _decoded(body)["predictions"])),
    )


def plain_rows(path: str) -> Form:
    """{"rows": [[…]]}, answered by a list: BentoML with a numpy array."""
    return Form(
        "JSON", path, lambda rows: _json({"rows": rows}), lambda body, _: list(map(int, msgspec.json.decode(body)))
    )


def v2_json(path: str, tensor: str) -> Form:
    """Open Inference Protocol, one flat FP64 tensor."""

    def body(rows: list[list[float]]) -> tuple[bytes, dict[str, str]]:
        flat = [value for row in rows for value in row]
        return _json({"inputs": [{"name": tensor, "shape": [len(rows), len(NAMES)], "datatype": "FP64", "data": flat}]})

    def labels(content: bytes, _headers: Mapping[str, str]) -> list[int]:
        return list(map(int, msgspec.json.decode(content)["outputs"][0]["data"]))

    return Form("JSON", path, body, labels)


def v2_binary(path: str, tensor: str) -> Form:
    """The binary tensor extension, in both directions."""

    def body(rows: list[list[float]]) -> tuple[bytes, dict[str, str]]:
        flat = [value for row in rows for value in row]
        raw = struct.pack(f"<{len(flat)}d", *flat)
        item = {"name": tensor, "shape": [len(rows), len(NAMES)], "datatype": "FP64"}
        head = msgspec.json.encode(
            {
                "inputs": [item | {"parameters": {"binary_data_size": len(raw)}}],
                "parameters": {"binary_data_output": True},
            }
        )
        headers = {"content-type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        return head + raw, headers

    return Form("binary", path, body, _binary_labels)


def _binary_labels(content: bytes, headers: Mapping[str, str]) -> list[int]:
    length = int(headers.get(JSON_LENGTH, len(content)))
    first = msgspec.json.decode(content[:length])["outputs"][0]
    size = first.get("parameters", {}).get("binary_data_size")
    if size is None:
        return list(map(int, first["data"]))
    kind = {"INT64": "q", "INT32": "i", "FP64": "d", "FP32": "f"}[first["datatype"]]
    return [int(value) for (value,) in struct.iter_unpack(f"<{kind}", content[length : length + size])]
