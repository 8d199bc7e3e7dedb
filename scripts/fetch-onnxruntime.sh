#!/usr/bin/env bash
# Puts ONNX Runtime's library into vendor/onnxruntime/, where simbert looks for it.
# It comes out of the pinned Python wheel; any Python 3 with pip will do, and none is needed to run it.
# The library's hash decides: nothing is fetched if the right one is there, and nothing else ever lands there.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.32.0
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)
    platform=manylinux_2_28_x86_64
    wheel_hash=5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d
    library_hash=6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f
    ;;
  Linux-aarch64)
    platform=manylinux_2_28_aarch64
    wheel_hash=2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c
    library_hash=49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a
    ;;
  *) platform='' ;;
esac

by_hand() {
  echo "$1" >&2
  echo "Without it: get ONNX Runtime 1.24 or later in another way (its releases have archives for most systems)," >&2
  echo "and set the environment variable ORT_DYLIB_PATH to its libonnxruntime.so." >&2
  exit 1
}
has_hash() { echo "$2  $1" | sha256sum --check --status 2>/dev/null; }

if [[ -n ${ORT_DYLIB_PATH:-} ]]; then
  [[ -f $ORT_DYLIB_PATH ]] || by_hand "ORT_DYLIB_PATH names \`$ORT_DYLIB_PATH\`, which is not a file."
  echo "Using the ONNX Runtime that ORT_DYLIB_PATH names: $ORT_DYLIB_PATH"
  exit
fi
[[ $platform ]] || by_hand "There is no pinned ONNX Runtime for $(uname -s) on $(uname -m)."
library=vendor/onnxruntime/libonnxruntime.so.$version
if [[ -f $library ]] && has_hash "$library" "$library_hash"; then
  exit
fi

# On the same file system as the library, so that the last step is one rename.
mkdir -p vendor/onnxruntime
work=$(mktemp -d vendor/.fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT
echo "Fetching ONNX Runtime $version ..."
# Which Python runs pip must not matter for the hash: the wheel is named to the last tag.
python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 \
  --platform "$platform" --dest "$work" "onnxruntime==$version" ||
  by_hand "Could not fetch ONNX Runtime $version with \`python3 -m pip download\`."
wheel=$work/onnxruntime-$version-cp311-cp311-$platform.whl
has_hash "$wheel" "$wheel_hash" || by_hand "The wheel that was fetched is not the pinned one: its SHA-256 is not $wheel_hash."
python3 -m zipfile -e "$wheel" "$work"
has_hash "$work/onnxruntime/capi/${library##*/}" "$library_hash" || by_hand "The wheel does not hold the pinned library."
mv "$work/onnxruntime/LICENSE" "$work/onnxruntime/ThirdPartyNotices.txt" vendor/onnxruntime/
mv "$work/onnxruntime/capi/${library##*/}" "$library"
find vendor/onnxruntime -name 'libonnxruntime.so*' ! -name "${library##*/}" -delete # other versions
echo "ONNX Runtime $version is in $library."
