"""The same image under a name that no cluster has seen yet."""

import io
import json
import tarfile
import time
from pathlib import Path

from e2e.cluster.images import Image

MANIFEST = "manifest.json"
# Newer archives name their images here too, and these names would come first.
LEFT_OUT = {"index.json", "oci-layout", "repositories"}


def renamed(image: Image, folder: Path) -> Image:
    """A copy of its archive in `folder`, whose reference is another one at each call."""
    reference = f"{image.reference.rpartition(':')[0]}:late-{time.time_ns():x}"
    copy = folder / "renamed.tar"
    with tarfile.open(image.tar) as source, tarfile.open(copy, "w") as target:
        for member in source:
            if member.name in LEFT_OUT:
                continue
            content = source.extractfile(member)
            if content is not None and member.name == MANIFEST:
                named = [{**each, "RepoTags": [reference]} for each in json.load(content)]
                content = io.BytesIO(json.dumps(named).encode())
                member.size = len(content.getvalue())
            target.addfile(member, content)
    return Image(image.name, reference, copy)
