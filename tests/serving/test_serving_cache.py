"""The cache of a node: fetched once, believed never. A pod serves from it only what has the digest that was checked."""

import multiprocessing
import os
import shutil
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_process import preflight, serving

from millgate_serving.artefact import manifest_of
from millgate_serving.cache import Cache

ROW = {"a": 1.0, "b": -2.0, "c": 0.5, "d": 3}


def artefact(folder, size=1000, seed=b"x"):
    (folder / "deep").mkdir(parents=True)
    (folder / "MLmodel").write_bytes(b"flavors: {}")
    (folder / "deep/model.onnx").write_bytes(seed * size)
    return folder, manifest_of(folder)


def test_what_was_put_is_taken_whole(tmp_path):
    cache = Cache(tmp_path / "cache", 1 << 20)
    source, manifest = artefact(tmp_path / "source")
    cache.put(source, manifest)
    taken = cache.take(manifest.digest, tmp_path / "pod/artefact")
    assert taken == manifest == manifest_of(tmp_path / "pod/artefact")
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["sha256-" + manifest.digest[7:]]


def test_a_damaged_entry_is_never_taken_and_is_thrown_away(tmp_path, capsys):
    cache = Cache(tmp_path / "cache", 1 << 20)
    source, manifest = artefact(tmp_path / "source")
    cache.put(source, manifest)
    victim = next((tmp_path / "cache").rglob("model.onnx"))
    victim.write_bytes(b"y" + victim.read_bytes()[1:])
    assert cache.take(manifest.digest, tmp_path / "pod/artefact") is None
    assert not (tmp_path / "pod/artefact").exists()
    assert "deep/model.onnx differs" in capsys.readouterr().out
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_least_recently_used_entry_makes_room_and_what_is_too_large_is_not_kept(tmp_path):
    cache = Cache(tmp_path / "cache", 5000)
    kept = []
    for number, seed in enumerate((b"a", b"b")):
        source, manifest = artefact(tmp_path / f"source{number}", 2000, seed)
        cache.put(source, manifest)
        os.utime(cache.folder / ("sha256-" + manifest.digest[7:]), (number + 1, number + 1))
        kept.append(manifest.digest)
    cache.take(kept[0], tmp_path / "pod/artefact")  # used just now
    source, third = artefact(tmp_path / "source3", 2000, b"c")
    cache.put(source, third)
    source, large = artefact(tmp_path / "source4", 9000, b"d")
    cache.put(source, large)
    names = {entry.name.removeprefix("sha256-") for entry in cache.folder.iterdir()}
    assert names == {kept[0][7:], third.digest[7:]}


def test_what_a_dead_pod_left_half_done_goes_after_an_hour(tmp_path):
    cache = Cache(tmp_path / "cache", 1 << 20)
    cache.folder.mkdir()
    for name, age in ((".unfinished-old", 3700), (".unfinished-new", 60)):
        (cache.folder / name).mkdir()
        moment = time.time() - age
        os.utime(cache.folder / name, (moment, moment))
    cache.put(*artefact(tmp_path / "source"))
    assert (cache.folder / ".unfinished-new").exists()
    assert not (cache.folder / ".unfinished-old").exists()


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/cache"])
def test_an_unusable_cache_costs_a_fetch_and_nothing_else(folder, tmp_path):
    source, manifest = artefact(tmp_path / "source")
    cache = Cache(tmp_path / folder, 1 << 20)
    cache.put(source, manifest)
    assert cache.take(manifest.digest, tmp_path / "pod/artefact") is None
    assert cache.manifest_text(manifest.digest) == ""


def _put_and_take(folder, source, target, rounds):
    cache, manifest = Cache(folder, 20_000), manifest_of(source)
    for _ in range(rounds):
        cache.put(source, manifest)
        taken = cache.take(manifest.digest, target)
        if taken is not None and manifest_of(target).digest != manifest.digest:
            os._exit(1)


def test_pods_that_write_read_and_prune_at_once_never_get_other_bytes(tmp_path):
    """Three models that do not fit together, so each pod keeps throwing out what another is copying."""
    pods = []
    for number in range(3):
        source, _ = artefact(tmp_path / f"source{number}", 9000, bytes([number]))
        arguments = tmp_path / "cache", source, tmp_path / f"pod{number}/artefact", 40
        pods.append(multiprocessing.get_context("fork").Process(target=_put_and_take, args=arguments))
    for pod in pods:
        pod.start()
    for pod in pods:
        pod.join(120)
    assert [pod.exitcode for pod in pods] == [0, 0, 0]


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from("abcdef"), st.binary(min_size=1, max_size=4), min_size=1), st.data())
def test_a_fingerprint_and_a_manifest_name_the_file_that_changed(tmp_path_factory, files, data):
    folder = tmp_path_factory.mktemp("artefact")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    before = manifest_of(folder)
    victim = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[victim])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / victim).write_bytes(content)
    after = manifest_of(folder)
    assert after.changed_since(before.text, before.digest) == f"{victim} differs"
    assert after.changed_from(before.fingerprint) == f"{victim} differs"
    assert after.changed_since(before.text, after.digest) == ""  # a list that the digest does not vouch for
    (folder / "new").write_bytes(b"1")
    grown = manifest_of(folder)
    assert "new is new" in grown.changed_since(before.text, before.digest)
    assert grown.changed_from(before.fingerprint) == f"{len(files)} files were checked, there are {len(files) + 1}"
    shutil.rmtree(folder)


def test_a_second_pod_of_the_node_starts_without_the_registry(registered, tmp_path):
    """Given a version in the node's cache, then a pod with an empty disk serves it while the registry is away."""
    cache = {"MILLGATE_CACHE_DIR": tmp_path / "cache"}
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    _, result = preflight(first, **cache, **registered("numbers"))
    away = registered("numbers") | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    with serving(second, MILLGATE_MODEL_DIGEST=result["digest"], **cache, **away) as server:
        server.wait_ready()
        assert server.predict({"rows": [ROW]}).status == 200
        assert server.event("model found in the cache")["digest"] == result["digest"]
    # What another pod does to the shared file afterwards is of no concern to a pod that has its own copy.
    victim = next((tmp_path / "cache").rglob("model.onnx"))
    victim.write_bytes(b"other" + victim.read_bytes()[5:])
    third = tmp_path / "third"
    third.mkdir()
    code, again = preflight(third, MILLGATE_MODEL_DIGEST=result["digest"], **cache, **registered("numbers"))
    assert (code, again["digest"]) == (0, result["digest"])  # fetched, as the damaged entry was thrown away
