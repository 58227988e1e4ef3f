"""Writes a random-weight Llama GGUF of the 1B or 3B shape: no tokenizer, every matrix of one type, norms f32, tied embedding.

usage: make_gguf.py 1b|3b f16|q8_0|q4_0 OUT
"""

import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

SHAPES = {  # hidden, intermediate, layers, heads, KV heads, head size
    "1b": (2048, 8192, 16, 32, 8, 64),
    "3b": (3072, 8192, 28, 24, 8, 128),
}
VOCABULARY = 128256
BLOCK_BYTES = {"q8_0": 34, "q4_0": 18}  # of 32 weights, the first two bytes an f16 scale
FILE_TYPE = {"f16": 1, "q8_0": 7, "q4_0": 2}
RAW_TYPE = {"f16": None, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}


def main():
    shape, kind, out = sys.argv[1:4]
    hidden, intermediate, layers, heads, kv_heads, head = SHAPES[shape]
    rng = np.random.default_rng(0)
    blocks = {}

    def matrix(rows, cols):
        """Random rows, up to 1024 of them, repeated: quick to make, and every byte is there to be read."""
        if (rows, cols) not in blocks:
            some = min(rows, 1024)
            if kind == "f16":
                block = rng.uniform(-0.02, 0.02, (some, cols)).astype(np.float16)
            else:
                block = rng.integers(0, 256, (some * cols // 32, BLOCK_BYTES[kind]), dtype=np.uint8)
                scale = np.float16(0.02 / (127 if kind == "q8_0" else 8))
                block[:, :2] = np.frombuffer(scale.tobytes(), np.uint8)
                block = block.reshape(some, -1)
            blocks[rows, cols] = np.ascontiguousarray(np.resize(block, (rows, block.shape[1])))
        return blocks[rows, cols]

    w = gguf.GGUFWriter(out, "llama")
    w.add_block_count(layers)
    w.add_context_length(4096)
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(intermediate)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head)
    w.add_value_length(head)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(500000.0)
    w.add_rope_dimension_count(head)
    w.add_vocab_size(VOCABULARY)
    w.add_tokenizer_model("no_vocab")
    w.add_file_type(FILE_TYPE[kind])

    def add(name, rows, cols):
        w.add_tensor(name, matrix(rows, cols), raw_dtype=RAW_TYPE[kind])

    ones = np.ones(hidden, np.float32)
    add("token_embd.weight", VOCABULARY, hidden)
    for layer in range(layers):
        p = f"blk.{layer}."
        w.add_tensor(p + "attn_norm.weight", ones)
        add(p + "attn_q.weight", heads * head, hidden)
        add(p + "attn_k.weight", kv_heads * head, hidden)
        add(p + "attn_v.weight", kv_heads * head, hidden)
        add(p + "attn_output.weight", hidden, heads * head)
        w.add_tensor(p + "ffn_norm.weight", ones)
        add(p + "ffn_gate.weight", intermediate, hidden)
        add(p + "ffn_up.weight", intermediate, hidden)
        add(p + "ffn_down.weight", hidden, intermediate)
    w.add_tensor("output_norm.weight", ones)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
