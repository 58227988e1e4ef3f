#!/usr/bin/env python3
"""Writes the files that the decoders are compared with.

    make_quants.py                 quants.gguf, types.safetensors
    make_quants.py --model FILE    FILE.crc32.json, named after the model: a checksum of every tensor as float32

quants.gguf has, for every type that the package reads, a tensor of random blocks and what the Python package gguf
(gguf.quants.dequantize, kept equal to ggml's C code) makes of them, as NAME.f32. It has key/values of every type too.
types.safetensors has the numbers -8, -7.75, ... 7.75 in every dtype that PyTorch can write; wide integers and bools are
there to be refused.

Needs: gguf, numpy; for types.safetensors: safetensors, torch.
"""

import argparse
import json
import pathlib
import zlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

HERE = pathlib.Path(__file__).parent
ROWS, COLUMNS = 2, 512

# Where the float16 scales of a block are; the other bytes may have any value.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}  # fmt: skip


def halves(rng, n):
    """Float16 of any sign and exponent, subnormal and zero included; infinities and NaN would hide everything else."""
    h = rng.integers(0, 0x7C00, n, dtype=np.uint16) | (rng.integers(0, 2, n, dtype=np.uint16) << 15)
    h[:2] = [0x0000, 0x8001]
    return h


def random_blocks(rng, kind):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    b = rng.integers(0, 256, (ROWS * COLUMNS // block, size), dtype=np.uint8)
    for at in SCALES[kind]:
        b[:, at : at + 2] = halves(rng, len(b)).view(np.uint8).reshape(-1, 2)
    return b.reshape(ROWS, -1)


def quants(path):
    rng = np.random.default_rng(1)
    w = gguf.GGUFWriter(path, "test")
    for name, value in [("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000), ("uint32", 4000000000),
                        ("int32", -2000000000), ("uint64", 2**64 - 1), ("int64", -(2**63)), ("float32", 0.1),
                        ("float64", 0.1), ("bool", True), ("string", "naïve ▁")]:  # fmt: skip
        getattr(w, "add_" + name)("test." + name, value)
    w.add_array("test.strings", ["", "a", "▁b", "\n"])
    w.add_array("test.int32s", [1, -2, 3])
    w.add_array("test.float32s", [0.5, -1.5, 1e30])
    w.add_array("test.bools", [True, False])
    for kind in SCALES:
        b = random_blocks(rng, kind)
        w.add_tensor(kind.name, b, raw_dtype=kind)
        w.add_tensor(kind.name + ".f32", gguf.quants.dequantize(b, kind))
    for kind, dtype in [(T.F16, np.float16), (T.BF16, np.uint16), (T.F64, np.float64)]:
        if kind == T.F64:
            x = rng.standard_normal((ROWS, COLUMNS)) * 10.0 ** rng.integers(-40, 36, (ROWS, COLUMNS))
            want = x.astype(np.float32)
        elif kind == T.F16:
            x = halves(rng, ROWS * COLUMNS).view(dtype).reshape(ROWS, COLUMNS)
            want = x.astype(np.float32)
        else:
            x = gguf.quants.quantize(rng.standard_normal((ROWS, COLUMNS)).astype(np.float32), kind)
            want = gguf.quants.dequantize(x, kind)
        w.add_tensor(kind.name, x, raw_dtype=kind)
        w.add_tensor(kind.name + ".f32", want)
    w.add_tensor("IQ4_NL", rng.integers(0, 256, (1, 18), dtype=np.uint8), raw_dtype=T.IQ4_NL)
    w.add_tensor("I32", np.arange(8, dtype=np.int32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def types(path):
    import torch
    from safetensors.torch import save_file

    x = torch.arange(-32, 32, dtype=torch.float64).reshape(4, 16) / 4
    save_file({str(t).removeprefix("torch."): x.to(t) for t in [
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64,
    ]}, path, metadata={"format": "pt"})  # fmt: skip


def checksums(model, path):
    sums = {}
    for t in gguf.GGUFReader(model).tensors:
        x = gguf.quants.dequantize(t.data, t.tensor_type).astype("<f4")
        sums[t.name] = {"type": t.tensor_type.name, "shape": [int(n) for n in reversed(t.shape)], "crc32": zlib.crc32(x.tobytes())}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(sums[name])}" for name in sorted(sums))
    path.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, metavar="FILE")
    model = parser.parse_args().model
    if model:
        checksums(model, HERE / (model.name + ".crc32.json"))
    else:
        quants(HERE / "quants.gguf")
        types(HERE / "types.safetensors")
