"""The outside world as the configuration names it: metrics, registries, and what pods are told of the latter."""

import base64
import os
from collections.abc import Mapping

from millgate.controller.config import Config
from millgate.controller.resolver import Registry
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus
from millgate.sources.registry import MlflowRegistry
from millgate.workload.settings import WorkloadSettings

# Credentials of Prometheus; those of MLflow are its client's own (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_TOKEN …).
TOKEN_VARIABLE = "MILLGATE_PROMETHEUS_TOKEN"
USER_VARIABLE = "MILLGATE_PROMETHEUS_USERNAME"
PASSWORD_VARIABLE = "MILLGATE_PROMETHEUS_PASSWORD"


def evidence_reader(config: Config) -> EvidenceReader:
    if config.prometheus is None:
        return EvidenceReader(None)
    source = Prometheus(
        str(config.prometheus.url), timeout_seconds=config.prometheus.timeout_seconds, headers=_authorisation()
    )
    return EvidenceReader(source, scrape_interval_seconds=config.prometheus.scrape_interval_seconds)


def registries(config: Config) -> Mapping[str, Registry]:
    return {
        registry.name: MlflowRegistry(str(registry.uri), timeout_seconds=registry.timeout_seconds)
        for registry in config.registries
    }


def workload_settings(config: Config) -> WorkloadSettings:
    return WorkloadSettings(
        registries={registry.name: registry.pods_uri for registry in config.registries},
        allow_code_execution=config.allow_code_execution,
    )


def _authorisation() -> dict[str, str]:
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        return {"Authorization": f"Bearer {token}"}
    user = os.environ.get(USER_VARIABLE)
    if user:
        pair = f"{user}:{os.environ.get(PASSWORD_VARIABLE, '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}
