"""The commands with their input and output: read from the cluster, render, print; or ask, and wait for the answer."""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from millgate.api.names import API_VERSION
from millgate.api.request import REQUEST_ANNOTATION, RequestAction, format_request
from millgate.cli.detail import detail
from millgate.cli.listing import history, table
from millgate.cli.text import Style, span, style_for
from millgate.cli.ticker import Ticker
from millgate.cli.verbs import Answer, Asked, Exit, nothing_to_do, progress, request_for, warning
from millgate.cli.view import View, read
from millgate.kube.api import MODEL_DEPLOYMENT, Json, KubeApi, KubeError, NotFound

# Flux takes over the fields of managers whose name begins with 'kubectl' (facts/conventions.md, section 2.1).
FIELD_MANAGER = "millgate-cli"
Output = Literal["json", "yaml", "name", "wide"]
_REQUEST_TIMEOUT_SECONDS = 10.0
_PATIENT_AFTER_SECONDS = 5.0
_EAGER_POLL_SECONDS = 0.1
_PATIENT_POLL_SECONDS = 0.5


class CommandError(Exception):
    """The command cannot go on; the text is for a person."""


@dataclass(frozen=True)
class Options:
    """What every command is told: which cluster, as whom, and what the output shall look like."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    impersonate: str | None = None
    output: Output | None = None
    no_color: bool = False

    @property
    def style(self) -> Style:
        out = sys.stdout
        return style_for(is_terminal=out.isatty(), encoding=out.encoding, no_color=self.no_color, env=os.environ)

    @property
    def flags(self) -> str:
        """What a suggested command must repeat to reach the same cluster."""
        named = (("--context", self.context), ("--kubeconfig", self.kubeconfig))
        return " ".join(f"{flag} {value}" for flag, value in named if value)


def get(options: Options, name: str | None, *, all_namespaces: bool) -> Exit:
    return asyncio.run(_get(options, name, all_namespaces=all_namespaces))


def show_history(options: Options, name: str) -> Exit:
    return asyncio.run(_history(options, name))


def ask(options: Options, action: RequestAction, name: str, *, timeout_seconds: float, dry_run: bool) -> Exit:
    """Write the request and wait until what it asks for is true, refused, or `timeout_seconds` are over."""
    try:
        return asyncio.run(_ask(options, action, name, timeout_seconds=timeout_seconds, dry_run=dry_run))
    except KeyboardInterrupt:
        again = " ".join(part for part in ("kubectl millgate get", name, options.flags) if part)
        complain(f"no longer waiting; a request that was sent stands: {again}", options.style)
        return Exit.INTERRUPTED


async def _get(options: Options, name: str | None, *, all_namespaces: bool) -> Exit:
    async with connection(options) as (api, namespace):
        if name is not None:
            views = [await view_of(api, namespace, name)]
        else:
            views = await _views(api, None if all_namespaces else namespace)
    now = datetime.now(UTC)
    if options.output in {"json", "yaml", "name"}:
        print(_as_objects(views, options.output, one=name is not None))
    elif name is not None and options.output is None:
        print(detail(views[0], now, options.style, options.flags))
    elif views:
        print(table(views, now, options.style, namespaces=all_namespaces, wide=options.output == "wide"))
    else:
        where = "" if all_namespaces else f" in {namespace} namespace"
        complain(f"No ModelDeployments found{where}.", options.style)
    return Exit.OK


async def _history(options: Options, name: str) -> Exit:
    async with connection(options) as (api, namespace):
        view = await view_of(api, namespace, name)
    if options.output in {"json", "yaml"}:
        print(serialise([entry.to_json() for entry in view.status.history], options.output))
    elif options.output == "name":
        print("\n".join(str(entry.revision) for entry in view.status.history))
    else:
        print(history(view, datetime.now(UTC), options.style, wide=options.output == "wide"))
    return Exit.OK


async def _ask(options: Options, action: RequestAction, name: str, *, timeout_seconds: float, dry_run: bool) -> Exit:
    async with connection(options) as (api, namespace):
        before = await view_of(api, namespace, name)
        already = nothing_to_do(action, before)
        if already is not None:
            return _finish(options, already, before)
        caution = warning(action, before)
        if caution is not None:
            complain(f"warning: {caution}", options.style)
        request = request_for(action, before, secrets.token_hex(4))
        annotation = {"metadata": {"annotations": {REQUEST_ANNOTATION: format_request(request)}}}
        started = time.monotonic()
        after = await api.patch(MODEL_DEPLOYMENT, namespace, name, annotation, manager=FIELD_MANAGER, dry_run=dry_run)
        if dry_run:
            text = f"{before.title} {action.value.lower()} requested (server dry run)"
            return _finish(options, Answer(Exit.OK, text), read(after))
        answer, view = await _wait(api, Asked(request, before), options, started, timeout_seconds)
        return _finish(options, answer, view)


async def _wait(
    api: KubeApi, asked: Asked, options: Options, started: float, timeout_seconds: float
) -> tuple[Answer, View]:
    """Poll until there is an answer. A server that is away for a moment ends nothing before the time is over."""
    ticker = Ticker(sys.stderr, options.style, is_terminal=sys.stderr.isatty())
    view, text = asked.before, "waiting for the operator to answer"
    try:
        while (elapsed := time.monotonic() - started) < timeout_seconds:
            try:
                view = await view_of(api, asked.before.namespace, asked.before.name)
                step = progress(asked, view, time.monotonic() - started)
                if isinstance(step, Answer):
                    return step, view
                text = step.text
            except KubeError as error:
                if error.status:
                    raise
                text = f"no connection: {error}"
            ticker.tick(text, elapsed)
            await asyncio.sleep(_EAGER_POLL_SECONDS if elapsed < _PATIENT_AFTER_SECONDS else _PATIENT_POLL_SECONDS)
    finally:
        ticker.clear()
    return _too_late(asked, text, timeout_seconds), view


def _too_late(asked: Asked, text: str, timeout_seconds: float) -> Answer:
    title, id_ = asked.before.title, asked.request.id
    if timeout_seconds <= 0:
        return Answer(Exit.OK, f"{title} {asked.request.action.value.lower()} requested (id {id_})")
    return Answer(Exit.TIMEOUT, f"{title}: after {span(timeout_seconds)} still {text}; the request (id {id_}) stands")


def _finish(options: Options, answer: Answer, view: View) -> Exit:
    if answer.exit in {Exit.ERROR, Exit.REFUSED, Exit.TIMEOUT}:
        complain(answer.text, options.style)
    elif options.output in {"json", "yaml", "name"}:
        print(_as_objects([view], options.output, one=True))
    else:
        print(options.style.finish(answer.text))
    return answer.exit


@asynccontextmanager
async def connection(options: Options) -> AsyncIterator[tuple[KubeApi, str]]:
    """The API server and the namespace that is meant."""
    api = await KubeApi.connect(
        kubeconfig=options.kubeconfig,
        context=options.context,
        impersonate=options.impersonate,
        timeout_seconds=_REQUEST_TIMEOUT_SECONDS,
    )
    async with api:
        yield api, options.namespace or api.namespace


async def _views(api: KubeApi, namespace: str | None) -> list[View]:
    try:
        return [read(obj) for obj in await api.list(MODEL_DEPLOYMENT, namespace)]
    except NotFound as error:
        raise CommandError("the API server knows no ModelDeployments: is Millgate's CRD installed there?") from error


async def view_of(api: KubeApi, namespace: str, name: str) -> View:
    obj = await api.get(MODEL_DEPLOYMENT, namespace, name)
    if obj is None:
        raise CommandError(f'ModelDeployment "{name}" not found in namespace {namespace}')
    return read(obj)


def _as_objects(views: Sequence[View], output: Output | None, *, one: bool) -> str:
    if output == "name":
        return "\n".join(view.title for view in views)
    objects = [_without_managers(view) for view in views]
    whole = objects[0] if one else {"apiVersion": "v1", "kind": "List", "items": objects}
    return serialise(whole, output)


def _without_managers(view: View) -> Json:
    """As kubectl prints objects: who owns which field is noise to a reader."""
    metadata = {key: value for key, value in view.raw["metadata"].items() if key != "managedFields"}
    return {"apiVersion": API_VERSION, "kind": MODEL_DEPLOYMENT.kind, **view.raw, "metadata": metadata}


def serialise(value: Any, output: Output | None) -> str:
    if output == "json":
        return json.dumps(value, indent=4, ensure_ascii=False)
    import yaml  # noqa: PLC0415 - only this output needs it, and every start would pay for it

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip()


def complain(text: str, style: Style) -> None:
    print(style.finish(text), file=sys.stderr)
