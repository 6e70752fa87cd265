"""The operator's configuration: what the platform decides once, so that no ModelDeployment holds an address or secret.

It is read from the YAML file that MILLGATE_CONFIG names. Environment variables (`MILLGATE_LOG_LEVEL`,
`MILLGATE_PROMETHEUS__URL`) go before the file; their values are read as YAML. Credentials come from the environment
only, see `sources`.
"""

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from millgate.api.base import DnsLabel

CONFIG_VARIABLE = "MILLGATE_CONFIG"
_PREFIX = "MILLGATE_"
_NESTED = "__"
EXAMPLE = """\
# The operator's configuration. Every field may be left out.
prometheus:
  url: http://prometheus.monitoring:9090
  timeoutSeconds: 10
  scrapeIntervalSeconds: 30             # how often that Prometheus scrapes the models' pods
registries:
- name: default                         # what `spec.model.registry` names
  uri: http://mlflow.mlflow:5000        # as the operator reaches it
  servingUri: http://mlflow.mlflow:5000 # as the pods reach it; the same as `uri` when left out
  timeoutSeconds: 10
  pollSeconds: 30                       # how soon a moved alias is seen
defaultServingImage: registry.example/millgate/serving:0.1.0
allowedImagePrefixes:                   # a prefix ends where a name ends: at '/', ':' or '@'. '*' allows all
- registry.example/ml/
allowCodeExecution: false               # whether pods may load models that run code of the model (pickle)
modelCache:                             # pods fetch a model once for all that mount the same volume
  claimName: millgate-models            # a PersistentVolumeClaim of this name in each namespace with models
  gibibytes: 20                         # how much of it models may take
watchNamespaces: []                     # all namespaces when empty
"""


class ConfigError(Exception):
    """The configuration cannot be used; the message names each field at fault."""


def _without_credentials(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.username or url.password:
        raise ValueError("must hold no credentials: they come from the environment")
    return url


Url = Annotated[AnyHttpUrl, AfterValidator(_without_credentials)]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class PrometheusConfig(_Part):
    """Where gates read metrics. `scrape_interval_seconds`: how often that Prometheus scrapes the models' pods."""

    url: Url
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    scrape_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0


class RegistryConfig(_Part):
    """One MLflow registry. `uri` is what the operator calls, `serving_uri` what the pods call."""

    name: DnsLabel
    uri: Url
    serving_uri: Url | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    poll_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0

    @property
    def pods_uri(self) -> str:
        return str(self.serving_uri or self.uri).rstrip("/")


class ModelCacheConfig(_Part):
    """A volume for fetched models, by the name that its PersistentVolumeClaim has in each namespace."""

    claim_name: DnsLabel
    gibibytes: Annotated[float, Field(gt=0, le=1_000_000)] = 20.0


class LeaseConfig(_Part):
    """Leader election; see `kube.lease.LeaseTerms` for what the numbers promise."""

    name: DnsLabel = "millgate-operator"
    namespace: str = Field(default_factory=lambda: os.environ.get("POD_NAMESPACE") or "default")
    duration_seconds: Annotated[float, Field(ge=1, le=300)] = 10.0
    renew_deadline_seconds: Annotated[float, Field(gt=0)] = 7.0
    period_seconds: Annotated[float, Field(gt=0)] = 2.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.period_seconds < self.renew_deadline_seconds < self.duration_seconds:
            raise ValueError("periodSeconds < renewDeadlineSeconds < durationSeconds must hold")
        return self


class _Environment(PydanticBaseSettingsSource):
    """MILLGATE_ variables by the names of the fields.

    The library's own source reads a field with an alias under that alias and without the prefix: `LEASE` or
    `PROMETHEUS` may mean anything in a pod, where Kubernetes itself sets variables named by Services.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for variable, text in os.environ.items():
            path = variable.removeprefix(_PREFIX).lower().split(_NESTED)
            if variable.startswith(_PREFIX) and path[0] in self.settings_cls.model_fields:
                *parents, leaf = (to_camel(part) for part in path)
                here = found
                for part in parents:
                    here = here.setdefault(part, {})
                here[leaf] = yaml.safe_load(text)
        return found


class Config(BaseSettings):
    """All settings of the operator."""

    model_config = SettingsConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    prometheus: PrometheusConfig | None = None
    registries: Annotated[tuple[RegistryConfig, ...], Field(max_length=64)] = ()
    default_serving_image: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    allowed_image_prefixes: tuple[Annotated[str, StringConstraints(min_length=1, max_length=512)], ...] = ()
    allow_code_execution: bool = False
    model_cache: ModelCacheConfig | None = None
    watch_namespaces: tuple[DnsLabel, ...] = ()
    sweep_seconds: Annotated[float, Field(ge=1, le=86400)] = 300.0
    reconcile_timeout_seconds: Annotated[float, Field(ge=1, le=600)] = 60.0
    # The more readers, the longer the API server takes for each: with 100 rollouts in flight and 16 at a time, one that
    # had to be taken back waited for 0.18 s (median), with 4 for 0.09 s, and all of them together took no longer.
    concurrent_reconciles: Annotated[int, Field(ge=1, le=256)] = 4
    listen_address: str = "0.0.0.0"  # noqa: S104 - probes and scrapes come from outside of the pod
    listen_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    log_level: Annotated[str, StringConstraints(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    lease: LeaseConfig = Field(default_factory=LeaseConfig)

    @model_validator(mode="after")
    def _registries_have_names_of_their_own(self) -> Self:
        names = [registry.name for registry in self.registries]
        if len(set(names)) != len(names):
            raise ValueError("registries: each must have a name of its own")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = os.environ.get(CONFIG_VARIABLE)
        file = (YamlConfigSettingsSource(settings_cls, yaml_file=path),) if path else ()
        return (init_settings, _Environment(settings_cls), *file)

    def registry(self, name: str) -> RegistryConfig | None:
        return next((registry for registry in self.registries if registry.name == name), None)

    def allows_image(self, image: str) -> bool:
        """Whether a ModelDeployment may name this image.

        A prefix ends where a part of the name ends, so that 'registry.example' does not allow
        'registry.example.evil.net/x'.
        """
        if image == self.default_serving_image:
            return True
        return any(_is_under(image, prefix) for prefix in self.allowed_image_prefixes)


def _is_under(image: str, prefix: str) -> bool:
    if prefix in ("*", image):
        return True
    bounded = prefix[-1] in "/:@" or image[len(prefix) : len(prefix) + 1] in ("/", ":", "@")
    return image.startswith(prefix) and bounded


def load_config() -> Config:
    """Raises ConfigError."""
    path = os.environ.get(CONFIG_VARIABLE)
    if path and not Path(path).is_file():
        raise ConfigError(f"{CONFIG_VARIABLE} names {path}, and there is no such file")
    try:
        return Config()
    except ValidationError as error:
        raise ConfigError("; ".join(_in_words(detail["loc"], detail["msg"]) for detail in error.errors())) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ConfigError(f"the configuration cannot be read: {error}") from error


def _in_words(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(str(part) for part in place) or 'configuration'}: {message}"


def identity() -> str:
    """The name of this process in leases and events: the pod's, the host's outside of a cluster."""
    return os.environ.get("POD_NAME") or socket.gethostname()
