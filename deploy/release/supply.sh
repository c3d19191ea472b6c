#!/bin/sh
# What is in a release, what is known about it, and that it is ours. A publisher's CI runs these: docs/develop/release.md.
#
#   supply.sh version TAG           fails unless the tag is that of the version of all packages, as v0.1.0
#   supply.sh sbom FILE             the components of the image, as CycloneDX JSON
#   supply.sh audit                 known vulnerabilities of locked dependencies; fails also when none can be looked up
#   supply.sh chart DIRECTORY       packs the chart (helm)
#   supply.sh image NAME:TAG SBOM SIGNER ISSUER   builds, pushes, signs and verifies the image (docker buildx, cosign)
#   supply.sh sign IMAGE@DIGEST SBOM     signs an image in a registry, and attests its SBOM (cosign)
#   supply.sh verify IMAGE@DIGEST ...    checks both; further arguments name the signer, as for `cosign verify`
#   supply.sh publish TAG DIRECTORY      makes a release on GitHub with these files (gh)
set -eu
cd "$(dirname "$0")/../.."

usage() { sed -n '2,12s/^# \{0,1\}//p' "deploy/release/supply.sh" >&2; exit 2; }

# Runs a tool of PyPI in an environment of its own: tools are no dependencies of Dragoman.
tool() {
    environment=$(mktemp -d)
    trap 'rm -rf "$environment"' EXIT
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check "$1"
    shift
    program=$1
    shift
    "$environment/bin/$program" "$@"
}

# A tag may be moved between two commands, a digest is the image.
by_digest() {
    case "${1-}" in
        *@sha256:????????????????????????????????????????????????????????????????) ;;
        *) echo "supply.sh: name the image by its digest: NAME@sha256:…" >&2; exit 2 ;;
    esac
    command -v cosign > /dev/null || { echo "supply.sh: cosign is not installed" >&2; exit 1; }
}

case "${1-}" in
    sbom)
        [ $# = 2 ] || usage
        tool cyclonedx-bom==7.5.0 cyclonedx-py requirements deploy/image/run.lock \
            --pyproject pyproject.toml --mc-type application --output-reproducible --output-format JSON --output-file "$2"
        ;;
    version)
        [ $# = 2 ] || usage
        for file in pyproject.toml dragoman_client/pyproject.toml clients/javascript/package.json; do
            version=$(sed -n 's/^ *"\{0,1\}version"\{0,1\} *[=:] *"\([^"]*\)".*/\1/p' $file | head -n 1)
            [ "v$version" = "$2" ] || { echo "supply.sh: the version in $file is $version, and the tag $2" >&2; exit 1; }
        done
        ;;
    chart)
        [ $# = 2 ] || usage
        helm package deploy/helm/dragoman --destination "$2"
        ;;
    image)
        [ $# = 5 ] || usage
        image=$(echo "$2" | tr '[:upper:]' '[:lower:]')
        built=$(mktemp)
        docker buildx build --provenance=mode=max --push --metadata-file "$built" --tag "$image" .
        digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$built")
        deploy/release/supply.sh sign "${image%:*}@$digest" "$3"
        deploy/release/supply.sh verify "${image%:*}@$digest" --certificate-identity "$4" --certificate-oidc-issuer "$5"
        ;;
    publish)
        [ $# = 3 ] || usage
        gh release create "$2" --verify-tag --title "Dragoman ${2#v}" --notes-file CHANGELOG.md "$3"/*
        ;;
    audit)
        [ $# = 1 ] || usage
        # --strict: without an answer for a package, the audit fails instead of finding nothing.
        tool pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes \
            -r deploy/image/run.lock -r deploy/image/build.lock
        ;;
    sign)
        [ $# = 3 ] || usage
        by_digest "$2"
        cosign sign --yes "$2"
        cosign attest --yes --type cyclonedx --predicate "$3" "$2"
        ;;
    verify)
        [ $# -ge 2 ] || usage
        shift
        by_digest "$1"
        image=$1
        shift
        cosign verify "$@" "$image" > /dev/null
        cosign verify-attestation --type cyclonedx "$@" "$image" > /dev/null
        echo "supply.sh: signature and SBOM of $image are verified"
        ;;
    *) usage ;;
esac
