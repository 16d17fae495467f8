#!/usr/bin/env bash
# Builds one program with all engines, runs the tests of those that the usual build does without, and prints how to
# start it.
#
# Whisper is compiled from source, with cmake and a C++ compiler. sherpa-onnx comes as shared libraries out of a package
# of PyPI, whose checksum is known; they end beside the program, which finds them there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
scripts/need.sh cc=build-essential g++=g++ cmake=cmake python3=python3 libpocketsphinx3 pocketsphinx-en-us
python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/need.sh python3-venv
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# The version is that of the crate, for either kind of processor that there is a wheel for.
version=2.0.1
libraries=$target/sherpa-onnx-$version
if [ ! -d "$libraries" ]; then
  echo "fetching the libraries of sherpa-onnx $version from PyPI" >&2
  mkdir -p "$target"
  partial=$(mktemp -d "$target/sherpa-onnx.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  cat >"$partial/requirements.txt" <<TEXT
sherpa-onnx-core==$version \
  --hash=sha256:f4ee0ab91c4ae596e0e49d7de32522a946295e038a652f1c1884d89014ee4ec2 \
  --hash=sha256:4a855a5c89c89885111e4e9c570e5da1aed63373c031b757d8046792d95fe8fe
TEXT
  python3 -m venv "$partial/venv"
  "$partial/venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input install --require-hashes --no-deps \
    --only-binary :all: --target "$partial/package" --requirement "$partial/requirements.txt" >&2
  mv "$partial/package/sherpa_onnx/lib" "$libraries"
fi

# Without libclang: the bindings come with the crate.
export WHISPER_DONT_GENERATE_BINDINGS=1
export SHERPA_ONNX_LIB_DIR=$libraries
echo "building (several minutes the first time) …" >&2
cargo build --quiet --locked --release --package dalston --features whisper,sherpa
if [ "${1:-}" != --build-only ]; then
  engines=(--package dalston-engine-whisper --package dalston-engine-sherpa --features native)
  cargo clippy --quiet --locked "${engines[@]}" --all-targets -- -D warnings
  cargo test --quiet --locked "${engines[@]}"
fi

dalston=$target/release/dalston
"$dalston" --version >/dev/null
cat <<TEXT
$dalston has all engines; if you move it, take libsherpa-onnx-c-api.so and libonnxruntime.so along.

  $dalston models list
  $dalston models pull whisper/base.en
  $dalston serve --engine whisper     # with DALSTON_WHISPER_MODEL=whisper/base.en
TEXT
