"""The outside world as the configuration names it: metrics, registries, and what pods are told of the latter."""

import os
from collections.abc import Callable, Mapping

from millgate.controller.config import Config
from millgate.controller.peaks import Peaks
from millgate.controller.resolver import Registry
from millgate.controller.telemetry import Key
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus, authorisation
from millgate.sources.registry import MlflowRegistry
from millgate.workload.settings import CacheSettings, WorkloadSettings


def metrics(config: Config) -> Prometheus | None:
    if config.prometheus is None:
        return None
    return Prometheus(
        str(config.prometheus.url), timeout_seconds=config.prometheus.timeout_seconds, headers=authorisation(os.environ)
    )


def evidence_reader(config: Config) -> EvidenceReader:
    if config.prometheus is None:
        return EvidenceReader(None)
    return EvidenceReader(metrics(config), scrape_interval_seconds=config.prometheus.scrape_interval_seconds)


def peaks(config: Config, wake: Callable[[Key], None]) -> Peaks:
    """With a client of its own: a question about a week keeps no thread from the evidence of a rollout."""
    if config.prometheus is None:
        return Peaks()
    return Peaks(metrics(config), wake=wake, scrape_interval_seconds=config.prometheus.scrape_interval_seconds)


def registries(config: Config) -> Mapping[str, Registry]:
    return {
        registry.name: MlflowRegistry(str(registry.uri), timeout_seconds=registry.timeout_seconds)
        for registry in config.registries
    }


def workload_settings(config: Config) -> WorkloadSettings:
    return WorkloadSettings(
        registries={registry.name: registry.pods_uri for registry in config.registries},
        allow_code_execution=config.allow_code_execution,
        cache=CacheSettings(config.model_cache.claim_name, config.model_cache.gibibytes)
        if config.model_cache
        else None,
    )
