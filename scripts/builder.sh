# Sourced by images.sh and sbom.sh: BUILDER is what is set, or the first of these that works here.
if [ -z "${BUILDER:-}" ]; then
    for BUILDER in docker podman buildah none; do
        command -v "$BUILDER" > /dev/null || continue
        [ "$BUILDER" = buildah ] || "$BUILDER" info > /dev/null 2>&1 || continue
        break
    done
fi
case $BUILDER in
    docker | podman | buildah) ;;
    *)
        echo "No docker, podman or buildah works here: install one, e.g. apt-get install buildah." >&2
        exit 69
        ;;
esac
