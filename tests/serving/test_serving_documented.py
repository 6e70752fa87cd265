"""The curl commands of the README and of the pages, run as they stand: their answers have the form that is printed."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from serving_process import serving

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/serving.md", "docs/serving-protocol.md"]
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
ADDRESS = "http://localhost:8080"


def documented(page: str) -> list[tuple[str, str]]:
    """Commands and what is printed below them."""
    found = []
    for block in BLOCK.findall((ROOT / page).read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.rstrip().rpartition("\n")
            if command.startswith("curl ") and ADDRESS in command:
                found.append((command, printed))
    return found


EXAMPLES = [(page, *example) for page in PAGES for example in documented(page)]


def form(document):
    """The names of an object and the kinds of its values; texts of errors must be the same."""
    if isinstance(document, dict):
        return {name: value if name == "error" else form(value) for name, value in document.items()}
    if isinstance(document, list):
        return [form(value) for value in document]
    return "number" if isinstance(document, int | float) else type(document).__name__


@pytest.fixture(scope="module")
def fraud(saved_models, tmp_path_factory):
    """The model that the examples are about: an amount, a count and a country."""
    with serving(tmp_path_factory.mktemp("fraud"), MILLGATE_MODEL_PATH=saved_models("mixed")) as server:
        yield server.wait_ready()


@pytest.mark.parametrize(("page", "command", "printed"), EXAMPLES, ids=[f"{n} {e[0]}" for n, e in enumerate(EXAMPLES)])
def test_a_documented_command_answers_what_is_printed_below_it(fraud, page, command, printed):
    words = command.replace(ADDRESS, f"http://127.0.0.1:{fraud.port}")
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=True, timeout=60)
    assert form(json.loads(done.stdout)) == form(json.loads(printed)), page


def test_each_page_has_commands_that_are_tried():
    assert {page for page, *_ in EXAMPLES} == set(PAGES)
