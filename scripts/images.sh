#!/usr/bin/env bash
# Build images: `scripts/images.sh [operator] [prep] [train] [train-cpu]`; without a name the three
# that a cluster needs. From the environment: BUILDER (docker, podman or buildah; else the first that
# works), REGISTRY, BASE, CUDA_BASE, TORCH_CPU, MAX_JOBS, WITHOUT_FLASH_ATTN=1. PINNED=1 refuses a
# base without a digest, as a release must, and CPU images on stubs of CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git describe --always --dirty --abbrev=40 2> /dev/null || echo unknown)
registry=${REGISTRY:-ghcr.io/qinstruct}

source scripts/builder.sh
# The same bytes each time; --layers keeps what did not change.
case $BUILDER in
    docker) build=(docker build) ;;  # with SOURCE_DATE_EPOCH
    *) build=("$BUILDER" build --layers --timestamp 0) ;;
esac
export SOURCE_DATE_EPOCH=0

arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision")
for name in BASE CUDA_BASE TORCH_CPU MAX_JOBS WITHOUT_FLASH_ATTN; do
    [ -z "${!name:-}" ] || arguments+=(--build-arg "$name=${!name}")
done

check_base() {  # NAME: whether a rebuild of next year starts from the same bytes
    [[ ${!1:-} == *@sha256:* ]] && return
    echo "$1 ${!1:-of the Dockerfile} has no digest: say $1=IMAGE@sha256:... to pin it." >&2
    [ "${PINNED:-}" != 1 ] || exit 78
}

check_torch() {  # of the CPU images
    [[ ${TORCH_CPU:-} == "torch @ "*"#sha256="* ]] && return
    [ "${TORCH_CPU:-}" = "" ] && [ "${PINNED:-}" != 1 ] && return
    echo "TORCH_CPU '${TORCH_CPU:-}' is not PyTorch's build for CPUs with its digest: say" \
        "TORCH_CPU='torch @ https://download.pytorch.org/whl/cpu/FILE#sha256=...'." >&2
    exit 78
}

[ $# -gt 0 ] || set -- operator prep train
for image; do
    case $image in
        operator) file=operator/Dockerfile name=operator ;;
        prep) file=trainer/Dockerfile name=prep ;;
        train) file=trainer/Dockerfile name=trainer ;;
        train-cpu) file=trainer/Dockerfile name=trainer-cpu ;;
        *)
            echo "$image is no image: operator, prep, train or train-cpu." >&2
            exit 64
            ;;
    esac
    check_base BASE
    case $image in
        train) check_base CUDA_BASE ;;
        prep | train-cpu) check_torch ;;
    esac
    "${build[@]}" --file "$file" --target "$image" --tag "$registry/$name:$version" \
        "${arguments[@]}" .
done
