#!/usr/bin/env bash
# Generate into a copy and compare: nothing in the work tree is touched.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
cp -r requirements crds "$fresh/"
bash scripts/generate.sh "$fresh"
status=0
chart=helm/qinstruct-operator
for generated in requirements crds docs/architecture.md "$chart/files" "$chart/README.md"; do
    diff -ru "$generated" "$fresh/$generated" || status=1
done
if [ "$status" -ne 0 ]; then
    echo "Generated files are stale: run 'make generate' and commit the result." >&2
fi
exit "$status"
