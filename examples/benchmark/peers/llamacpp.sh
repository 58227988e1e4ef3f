#!/bin/sh
# Usage: sh llamacpp.sh DIR — fetches llama.cpp's prebuilt libraries and headers into DIR and builds DIR/llamacpp.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: sh llamacpp.sh DIR" >&2; exit 2; }
mkdir -p "$1" && cd "$1"
libraries=package/bins/linux-x64
[ -d "$libraries" ] || { npm pack --silent @node-llama-cpp/linux-x64@3.22.1 >&2; tar xzf node-llama-cpp-linux-x64-3.22.1.tgz; }
headers=llama_cpp_python-0.3.36/vendor/llama.cpp
if [ ! -d "$headers" ]; then
	python3 -m venv venv
	venv/bin/pip install -q scikit_build_core flit_core hatchling
	venv/bin/pip download -q --no-deps --no-binary :all: --no-build-isolation llama-cpp-python==0.3.36
	tar xzf llama_cpp_python-0.3.36.tar.gz
fi
gcc -O2 -Wall -I"$headers/include" -I"$headers/ggml/include" "$here/llamacpp.c" -o llamacpp \
	"$libraries/libllama.v0.5.0.so" "$libraries/libggml.v0.5.0.so" "$libraries/libggml-base.so" \
	-Wl,-rpath,"\$ORIGIN/$libraries" -lm
echo "$PWD/llamacpp"
