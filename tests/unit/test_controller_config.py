"""The configuration: what is wrong is named, and nothing is read from where it should not be."""

import pytest
import yaml

from millgate.controller.config import EXAMPLE, Config, ConfigError, load_config


@pytest.fixture
def load(tmp_path, monkeypatch: pytest.MonkeyPatch):
    def from_text(text: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        monkeypatch.setenv("MILLGATE_CONFIG", str(path))
        return load_config()

    return from_text


def test_the_example_that_help_prints_is_a_configuration(load):
    config = load(EXAMPLE)
    registry = config.registry("default")
    assert registry is not None
    assert registry.pods_uri == "http://mlflow.mlflow:5000"
    assert set(yaml.safe_load(EXAMPLE)) <= {field.alias for field in Config.model_fields.values()}


def test_an_empty_file_and_no_file_are_all_defaults(load, monkeypatch):
    assert load("") == load("{}")
    monkeypatch.delenv("MILLGATE_CONFIG")
    assert load_config().sweep_seconds == 300


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prometeus: {}", "prometeus"),
        ("prometheus: {url: http://p, timeout: 3}", "prometheus.timeout"),
        ("registries: [{name: a, uri: not-a-url}]", "registries.0.uri"),
        ("registries: [{name: a, uri: http://m}, {name: a, uri: http://n}]", "registries"),
        ("registries: [{name: a, uri: 'http://user:secret@m'}]", "registries.0.uri"),
        ("sweepSeconds: 0", "sweepSeconds"),
        ("logLevel: LOUD", "logLevel"),
        ("lease: {durationSeconds: 5, renewDeadlineSeconds: 10}", "lease"),
        ("registries: 3", "registries"),
        ("{", "cannot be read"),
        ("[1, 2]", "cannot be read"),
    ],
)
def test_a_mistake_is_named_by_its_field_and_no_secret_is_repeated(load, text, named):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert named in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("MILLGATE_CONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ConfigError, match="no such file"):
        load_config()


def test_the_environment_goes_before_the_file_by_the_names_of_the_fields(load, monkeypatch):
    monkeypatch.setenv("MILLGATE_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("MILLGATE_PROMETHEUS__URL", "http://other:9090")
    monkeypatch.setenv("MILLGATE_LEASE__DURATION_SECONDS", "60")
    config = load("logLevel: DEBUG\nprometheus: {url: http://p:9090, timeoutSeconds: 3}")
    assert config.log_level == "ERROR"
    assert config.prometheus is not None
    assert (str(config.prometheus.url), config.prometheus.timeout_seconds) == ("http://other:9090/", 3)
    assert config.lease.duration_seconds == 60


def test_variables_that_are_not_ours_change_nothing(load, monkeypatch):
    before = load("")
    for name in ("LEASE", "PROMETHEUS", "MILLGATE_SERVICE_HOST", "MILLGATE_CONFIG_PATH", "LOG_LEVEL"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    assert load("") == before


@pytest.mark.parametrize(
    ("prefix", "image", "allowed"),
    [
        ("registry.example/ml/", "registry.example/ml/fraud:1", True),
        ("registry.example/ml", "registry.example/ml/fraud:1", True),
        ("registry.example/ml", "registry.example/mlx/fraud:1", False),
        ("registry.example", "registry.example.evil.net/fraud:1", False),
        ("registry.example/fraud", "registry.example/fraud:1", True),
        ("registry.example/fraud", "registry.example/fraud@sha256:0", True),
        ("registry.example/fraud:1", "registry.example/fraud:1", True),
        ("registry.example/fraud:1", "registry.example/fraud:10", False),
        ("*", "anything/at:all", True),
    ],
)
def test_an_allowed_prefix_ends_where_a_part_of_the_name_ends(prefix, image, allowed):
    assert Config(allowed_image_prefixes=(prefix,)).allows_image(image) is allowed


def test_without_prefixes_only_the_default_serving_image_is_allowed():
    config = Config(default_serving_image="registry.example/serving:1")
    assert config.allows_image("registry.example/serving:1")
    assert not config.allows_image("registry.example/serving:2")
