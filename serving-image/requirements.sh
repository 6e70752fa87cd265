#!/bin/sh
# Writes requirements-{fast,full,sbom}.txt from uv.lock; a test fails when they are out of step.
# UV names the uv to use.
set -eu
cd "$(dirname "$0")/.."

export_requirements() {
    "${UV:-uv}" export --frozen --quiet --package millgate-serving --no-emit-workspace --no-annotate --no-header \
        --output-file "$@" > /dev/null
}

export_requirements serving-image/requirements-fast.txt
export_requirements serving-image/requirements-full.txt --extra full --extra otel
export_requirements serving-image/requirements-sbom.txt --only-group sbom
