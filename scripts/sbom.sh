#!/usr/bin/env bash
# What is in the images that scripts/images.sh has built, as build/sbom/IMAGE.json (CycloneDX):
# `scripts/sbom.sh [operator] [prep] [train] [train-cpu]`. Names, BUILDER and REGISTRY as there;
# PYTHON has cyclonedx-python-lib, as .venv does.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/builder.sh
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
inside() {  # IMAGE: what scripts/sbom.py finds in it
    local gather=(python -c "$(< scripts/sbom.py)" gather) container
    if [ "$BUILDER" != buildah ]; then
        "$BUILDER" run --rm --network none "$1" "${gather[@]}"
        return
    fi
    container=$(buildah from --pull-never "$1") || return
    buildah run "$container" -- "${gather[@]}" || { buildah rm "$container" > /dev/null; return 1; }
    buildah rm "$container" > /dev/null
}
mkdir -p build/sbom
[ $# -gt 0 ] || set -- operator prep train
for name; do
    case $name in train | train-cpu) name=trainer${name#train} ;; esac
    image=${REGISTRY:-ghcr.io/qinstruct}/$name:$version
    found=$(inside "$image") || {
        echo "$image cannot be looked into: build it with \`make images\`." >&2
        exit 69
    }
    "${PYTHON:-.venv/bin/python}" scripts/sbom.py "$image" <<< "$found" > "build/sbom/$name.json"
    echo "build/sbom/$name.json"
done
