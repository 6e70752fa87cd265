"""The images that cluster, demo and tests run: each built once for its content, tagged by it, and kept as a tar."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster import tarimage
from e2e.cluster.buildengine import Buildah, Docker, Engine, Job, digest_of
from e2e.cluster.gobuild import PAUSE, PROMETHEUS, Builder
from e2e.cluster.paths import PACKAGE, cache, locked, scratch
from e2e.cluster.processes import Runner
from e2e.cluster.progress import phase

RECIPES = PACKAGE / "images"
KEPT_OF_EACH = 4  # newer and older tars of one image: side by side checkouts may need different ones
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", ".venv", ".mypy_cache", ".ruff_cache", "*.egg-info")


@dataclass(frozen=True)
class Image:
    """`reference` names it in a pod; `tar` is what `load-image` takes."""

    name: str
    reference: str
    tar: Path


@dataclass(frozen=True)
class Recipe:
    """How an image is made.

    `context` says which file or folder of this machine stands where in the build's folder, so that no ignore file is
    needed and the same Containerfile builds from a plain checkout.
    """

    name: str
    containerfile: Path
    context: Mapping[str, Path]
    build_args: Mapping[str, str] = field(default_factory=dict)


class ImageBuilder:
    """Builds recipes, each once. The processes it starts are the cluster's: `down` ends them too."""

    def __init__(self, engine: Engine, programs: Builder) -> None:
        self._engine = engine
        self._programs = programs

    def build(self, recipe: Recipe) -> Image:
        with scratch() as context:
            for name, source in recipe.context.items():
                _stage(source, context / name)
            image = _named(recipe.name, self._key(recipe, context))
            with locked(cache() / "lock" / f"image-{recipe.name}"):
                if image.tar.exists():
                    os.utime(image.tar)
                    return image
                image.tar.parent.mkdir(parents=True, exist_ok=True)
                part = image.tar.with_name(f"{image.tar.name}.{os.getpid()}.part")
                part.unlink(missing_ok=True)
                with phase(f"build image {image.reference}"):
                    job = Job(recipe.containerfile, context, image.reference, recipe.build_args)
                    self._engine.build(job, part)
                part.rename(image.tar)
                _prune(recipe.name)
        return image

    def prometheus(self) -> Image:
        """Prometheus with Kubernetes discovery, from its own source; compiled at the first call."""
        program = self._programs.build(PROMETHEUS)
        return self.build(Recipe("millgate-prometheus", RECIPES / "prometheus/Containerfile", {"prometheus": program}))

    def mlflow(self) -> Image:
        """An MLflow tracking server and model registry; its arguments say where the data lies."""
        folder = RECIPES / "mlflow"
        files = {"requirements.txt": folder / "requirements.txt"}
        return self.build(Recipe("millgate-mlflow", folder / "Containerfile", files))

    def load_generator(self, program: Path) -> Image:
        """A Python with aiohttp that runs the given program."""
        folder = RECIPES / "load-generator"
        files = {"requirements.txt": folder / "requirements.txt", "load.py": program}
        return self.build(Recipe("millgate-load-generator", folder / "Containerfile", files))

    def _key(self, recipe: Recipe, context: Path) -> str:
        words = [f"{name}={value}" for name, value in sorted(recipe.build_args.items())]
        parts = [
            recipe.containerfile.read_text(),
            digest_of(context),
            *words,
            self._engine.name,
            self._engine.base_key(),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def image_builder(runner: Runner, *, docker: bool) -> ImageBuilder:
    """With a Docker engine, or with buildah."""
    return ImageBuilder(Docker(runner) if docker else Buildah(runner), Builder(runner))


def _named(name: str, key: str) -> Image:
    return Image(name, f"localhost/{name}:{key}", cache() / "images" / f"{name}-{key}.tar")


def _stage(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=LEFT_OUT)
    else:
        shutil.copy2(source, target)


def _prune(name: str) -> None:
    tars = sorted((cache() / "images").glob(f"{name}-{'[0-9a-f]' * 12}.tar"), key=lambda tar: tar.stat().st_mtime)
    for old in tars[:-KEPT_OF_EACH]:
        with suppress(FileNotFoundError):
            old.unlink()


def pause_image(builder: Builder) -> Image:
    """The container that holds a pod's network; a bare node cannot pull the usual one."""
    program = builder.build(PAUSE)
    image = _named("millgate-pause", program.parent.name.rpartition("-")[2][:12])
    with locked(cache() / "lock" / "image-pause"):
        if not image.tar.exists():
            image.tar.parent.mkdir(parents=True, exist_ok=True)
            part = image.tar.with_name(f"{image.tar.name}.{os.getpid()}.part")
            layer = tarimage.layer_of_file(program, "/pause")
            tarimage.write(part, image.reference, [layer], tarimage.Config(command=("/pause",), user="65535"))
            part.rename(image.tar)
    return image
