#!/bin/sh
# Compiles the kernels for aarch64 Linux and macOS with the clang of the PyPI package ziglang, in an
# environment of its own: whether they compile, on a machine that can't run them. `make cross`
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "ziglang==0.17.1"
for target in aarch64-linux-gnu aarch64-macos; do
    for source in native/dispatch.cpp native/isa/scalar.cpp native/isa/neon.cpp; do
        case $source in *neon*) cpu=generic+dotprod ;; *) cpu=generic ;; esac
        "$work/venv/bin/python" -m ziglang c++ -target "$target" "-mcpu=$cpu" -std=c++20 -O2 \
            -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -Wno-psabi \
            -c "$source" -o "$work/out.o"
        echo "$target: $source"
    done
done
