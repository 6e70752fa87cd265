"""Follows a ModelDeployment: what has changed between two looks at it, in words, and the thread that looks."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO, Any

from e2e.demo.kubectl import Kubectl
from e2e.demo.report import Moment, Outcome, Route
from millgate.api.names import LABEL_HASH

Json = dict[str, Any]
POLL_SECONDS = 0.1


class StoryError(Exception):
    """What was waited for did not happen in time."""


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def outcomes(status: Json) -> tuple[Outcome, ...]:
    """Of the rollouts that have ended, the newest first."""
    return tuple(
        Outcome(entry["modelVersion"], entry["outcome"], entry["reason"], entry.get("message", ""))
        for entry in status.get("history", [])
    )


def moments(before: Json, after: Json) -> list[Moment]:
    """What happened between two statuses, each with the time that the status itself gives."""
    return [*_stages(before, after), *_steps(before, after), *_ends(before, after)]


def _steps(before: Json, after: Json) -> list[Moment]:
    rollout, known = after.get("rollout") or {}, before.get("rollout") or {}
    seen = known.get("steps", []) if known.get("id") == rollout.get("id") else []
    begun = rollout.get("steps", [])[len(seen) :]
    version = _version_of(rollout, after)
    return [
        Moment(epoch(step["startTime"]), f"v{version}: step {step['name']} ({step['weightPercent']} %)")
        for step in begun
    ]


def _version_of(rollout: Json, status: Json) -> str:
    """The version that the rollout is about: the candidate, or stable once it is promoted."""
    for role in ("candidate", "stable", "previous"):
        track = status.get(role) or {}
        if track.get("hash") and str(rollout.get("id", "")).endswith(track["hash"]):
            return str(track["modelVersion"])
    return "?"


def _stages(before: Json, after: Json) -> list[Moment]:
    rollout, known = after.get("rollout") or {}, before.get("rollout") or {}
    if not rollout or (rollout["id"], rollout["stage"]) == (known.get("id"), known.get("stage")):
        return []
    words = {"Preparing": "is checked and started", "RollingBack": "is taken back"}
    said = words.get(rollout["stage"])
    if said is None:
        return []
    why = f": {rollout['reason']}" if rollout.get("reason") else ""
    return [Moment(epoch(rollout["stageStartTime"]), f"v{_version_of(rollout, after)} {said}{why}")]


def _ends(before: Json, after: Json) -> list[Moment]:
    known = {(entry["revision"], entry["endTime"]) for entry in before.get("history", [])}
    new = [entry for entry in after.get("history", []) if (entry["revision"], entry["endTime"]) not in known]
    return [
        Moment(epoch(entry["endTime"]), f"v{entry['modelVersion']} {entry['outcome']}: {entry['reason']}")
        for entry in reversed(new)
    ]


def verdicts(before: Json, after: Json) -> list[str]:
    """A line for every gate whose verdict is another one than before."""
    known = {gate["name"]: (gate["step"], gate["verdict"], gate["reason"]) for gate in before.get("gates", [])}
    return [
        f"gate {gate['name']} in {gate['step']}: {gate['verdict']} ({gate['reason']}) {_figures(gate)}".rstrip()
        for gate in after.get("gates", [])
        if known.get(gate["name"]) != (gate["step"], gate["verdict"], gate["reason"])
    ]


def _figures(gate: Json) -> str:
    names = {
        "value": "candidate",
        "reference": "stable",
        "limit": "limit",
        "samples": "requests",
        "evidence": "evidence",
    }
    return ", ".join(f"{word} {gate[name]}" for name, word in names.items() if gate.get(name) is not None)


def objects(stream: IO[str]) -> Iterator[Json]:
    """The objects that `kubectl get --watch -o json` prints one after the other."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if line.rstrip("\n") == "}":
            yield json.loads("".join(lines))
            lines = []


class Watch:
    """Gives each state of one object to `on_state`, from a thread of its own, until it is closed."""

    def __init__(
        self, kubectl: Kubectl, kind: str, namespace: str, name: str, on_state: Callable[[Json], None]
    ) -> None:
        argv = ["kubectl", "get", kind, name, "-n", namespace, "--watch", "-o", "json"]
        self._process = kubectl.start(argv)
        self._on_state = on_state
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        if self._process.stdout is None:
            raise AssertionError
        for found in objects(self._process.stdout):
            self._on_state(found)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Follower:
    """Keeps a ModelDeployment's newest status and every moment; says each change as it comes."""

    def __init__(self, kubectl: Kubectl, namespace: str, name: str, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._status: Json = {}
        self._moments: list[Moment] = []
        self._versions: dict[str, str] = {}
        self._watch = Watch(kubectl, "modeldeployment", namespace, name, self._see)

    def _see(self, found: Json) -> None:
        with self._lock:
            before, self._status = self._status, found.get("status", {})
            after = self._status
            new = moments(before, after)
            self._moments.extend(new)
            tracks = (after.get(role) for role in ("stable", "candidate", "previous"))
            self._versions |= {track["hash"]: track["modelVersion"] for track in tracks if track}
        for line in [*(moment.what for moment in new), *verdicts(before, after)]:
            self._say(line)

    @property
    def status(self) -> Json:
        with self._lock:
            return self._status

    @property
    def moments(self) -> tuple[Moment, ...]:
        with self._lock:
            return tuple(self._moments)

    @property
    def versions(self) -> dict[str, str]:
        """The model version of each revision that was seen, by its hash."""
        with self._lock:
            return dict(self._versions)

    def note(self, what: str, at: float | None = None) -> None:
        """Add a moment of the demo's own."""
        self._say(what)
        with self._lock:
            self._moments.append(Moment(at or time.time(), what))

    def await_status(self, holds: Callable[[Json], bool], what: str, seconds: float) -> Json:
        """The first status of which `holds` is true. Raises StoryError, which says `what` did not happen."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            status = self.status
            if holds(status):
                return status
            if self._watch.ended:
                raise StoryError("kubectl get --watch has ended")
            time.sleep(POLL_SECONDS)
        ready = [each for each in self.status.get("conditions", []) if each["type"] == "Ready"]
        raise StoryError(f"{what}: not within {seconds:.0f} s; Ready is {ready}")

    def await_outcome(self, version: str, seconds: float) -> Outcome:
        """The end of the newest rollout, once it is one of this version. Raises StoryError."""

        def ended(status: Json) -> bool:
            return bool(status.get("history")) and status["history"][0]["modelVersion"] == version

        return outcomes(self.await_status(ended, f"the rollout of v{version} ends", seconds))[0]

    def close(self) -> None:
        self._watch.close()


class Routes:
    """Every write of the live Service's selector, at the time when it was seen."""

    def __init__(self, kubectl: Kubectl, namespace: str, name: str) -> None:
        self._seen: list[tuple[float, str | None]] = []
        self._watch = Watch(kubectl, "service", namespace, name, self._see)

    def _see(self, found: Json) -> None:
        pinned = found["spec"].get("selector", {}).get(LABEL_HASH)
        if not self._seen or self._seen[-1][1] != pinned:
            self._seen.append((time.time(), pinned))

    def named(self, versions: dict[str, str]) -> tuple[Route, ...]:
        return tuple(Route(at, None if pinned is None else versions.get(pinned, "?")) for at, pinned in self._seen)

    def close(self) -> None:
        self._watch.close()
