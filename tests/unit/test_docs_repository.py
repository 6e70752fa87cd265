"""What holds for every text of the repository: links lead somewhere, and nothing names a machine."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s\[\]]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`[^`\n]*`")
# Spelled in parts, so that this file does not hold what it looks for.
MACHINE = re.compile(
    "|".join((r"(?<![\w.$}])/" + r"work/", r"(?<![\w.$}])/" + r"root/", "/home" + r"/(?!nonroot)\w+/"))
)
REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("deb", "debian", "org"),
            ("proxy", "golang", "org"),
        )
    )
)
# Resolved by tools, with the address of every package in them.
LOCKS = ("uv.lock", "go.sum", "package-lock.json")


@cache
def tracked() -> tuple[Path, ...]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    paths = (REPOSITORY / name for name in found.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def texts() -> Iterator[tuple[Path, str]]:
    for path in tracked():
        if path.name in LOCKS:
            continue
        try:
            yield path.relative_to(REPOSITORY), path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


def pages() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def anchors(page: Path) -> set[str]:
    """As the repository's host makes them of headings."""
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(INLINE.sub("", FENCE.sub("", page.read_text()))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_a_link_that_leads_nowhere_would_be_found() -> None:
    assert LINK.findall("see [this](gone.md#there) and ![not this](picture.png)") == ["gone.md#there"]
    assert "where-things-are" in anchors(REPOSITORY / "docs" / "development.md")


def test_no_text_names_a_path_of_a_machine() -> None:
    found = [f"{path}: {match.group(0)}" for path, text in texts() for match in MACHINE.finditer(text)]
    assert found == []


def test_no_text_names_the_host_of_a_package_registry() -> None:
    found = [f"{path}: {match.group(0)}" for path, text in texts() for match in REGISTRY_HOSTS.finditer(text)]
    assert found == []
