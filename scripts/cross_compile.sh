#!/bin/sh
# Compiles the kernels for aarch64 Linux and, where qemu is there, compares NEON with the portable code
# bit for bit at odd sizes (tests/native/test_kernels.cpp). `make cross`; Debian's packages:
#     apt-get install g++-aarch64-linux-gnu qemu-user
# CROSS_CXX and QEMU name others.
set -eu
cd "$(dirname "$0")/.."
compiler=${CROSS_CXX:-aarch64-linux-gnu-g++}
if ! command -v "$compiler" >/dev/null; then
    echo "make cross needs $compiler: apt-get install g++-aarch64-linux-gnu" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for source in native/dispatch.cpp native/isa/scalar.cpp native/isa/neon.cpp tests/native/test_kernels.cpp; do
    name=$(basename "$source" .cpp)
    case $name in
        neon) special="-O2 -Werror -march=armv8.2-a+dotprod" ;;  # as in CMakeLists.txt
        test_kernels) special=-O1 ;;
        *) special="-O2 -Werror" ;;
    esac
    # shellcheck disable=SC2086
    "$compiler" -std=c++20 -ffp-contract=off -fno-math-errno -Wall -Wextra -Wno-psabi $special \
        -Inative -c "$source" -o "$work/$name.o"
    echo "compiled for aarch64: $source"
done
# Static, so that it needs no libraries of the other machine.
"$compiler" -static "$work"/*.o -o "$work/test_kernels"
for qemu in ${QEMU:-qemu-aarch64 qemu-aarch64-static}; do
    if command -v "$qemu" >/dev/null; then
        "$qemu" "$work/test_kernels"
        exit
    fi
done
echo "not run: there is no qemu-aarch64 (apt-get install qemu-user)"
