#!/usr/bin/env bash
# What is in the images that scripts/images.sh has built, as build/sbom/IMAGE.json (CycloneDX):
# `scripts/sbom.sh [operator] [prep] [trainer] [trainer-cpu]`. BUILDER and REGISTRY as there.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v syft > /dev/null; then
    echo "syft is not here: go install github.com/anchore/syft/cmd/syft@v1.57.1" >&2
    exit 69
fi
source scripts/builder.sh
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p build/sbom
[ $# -gt 0 ] || set -- operator prep trainer
for name; do
    image=${REGISTRY:-ghcr.io/qinstruct}/$name:$version
    case $BUILDER in
        docker) docker save --output "$folder/$name.tar" "$image"; source=docker-archive ;;
        podman | buildah) "$BUILDER" push --quiet "$image" "oci-archive:$folder/$name.tar"; source=oci-archive ;;
    esac
    syft scan --quiet "$source:$folder/$name.tar" --source-name "$image" \
        --output "cyclonedx-json=build/sbom/$name.json"
    echo "build/sbom/$name.json"
done
