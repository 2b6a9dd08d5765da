#!/usr/bin/env bash
# Write every generated file of the project below the folder $1. Tools come from PATH.
set -euo pipefail
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
chart=helm/qinstruct-operator
mkdir -p "$out/requirements" "$out/crds" "$out/docs" "$out/$chart/files"

# An existing lock below $out keeps its versions where pyproject.toml still allows them.
lock() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command "make generate" "${@:2}" --output-file "$out/requirements/$1.txt"
}
lock operator pyproject.toml --extra operator
lock trainer pyproject.toml --extra trainer --extra s3
lock dev pyproject.toml --extra operator --extra trainer --extra s3 --group dev
for name in uv build flash-attn nvcc; do
    [ "$name" = flash-attn ] && alone=(--no-deps) || alone=()  # its metadata would need torch
    lock "$name" "requirements/$name.in" "${alone[@]}"
done
# The trainer's lock less what only a GPU needs, for the images without one.
gpu_only=()
while read -r name; do
    gpu_only+=(--no-emit-package "$name")
done < <(grep --only-matching --extended-regexp '^(nvidia|cuda|triton)[a-z0-9-]*' "$out/requirements/trainer.txt")
lock trainer-cpu pyproject.toml --extra trainer --extra s3 --constraints "$out/requirements/trainer.txt" \
    --no-annotate "${gpu_only[@]}"

qinstruct crd > "$out/crds/qinstruct.dev_qinstructtrainings.yaml"
cp "$out/crds/qinstruct.dev_qinstructtrainings.yaml" "$out/$chart/files/crd.yaml"  # Helm reads no other folder

python scripts/chart_readme.py "$chart" > "$out/$chart/README.md.new"
mv "$out/$chart/README.md.new" "$out/$chart/README.md"

python scripts/architecture.py docs/architecture.md > "$out/docs/architecture.md.new"
mv "$out/docs/architecture.md.new" "$out/docs/architecture.md"
