#!/usr/bin/env python3
"""Writes one small random Llama checkpoint for every variant of the architecture.

    python variants.py --out variants

Each folder holds config.json, the safetensors file or files, golden.json and
logits.f32. The weights are drawn with a standard deviation of 0.2 and the norms
between 0.5 and 1.5, so attention is sharp and a wrong rotation, bias or epsilon
shows in the logits; where a variant could be read wrongly without an error, the
script checks that the wrong reading moves some logit by over 0.05.

The golden results come from loading the folder again, so they show how
transformers reads that very config.json: weights widened (or, from F64,
narrowed) to fp32, eager attention. golden.json holds

    ids      the prompt; logits.f32 has the logits at each of its positions from
             one full forward, as little-endian float32, len(ids)×vocabulary
    greedy   16 greedy ids and the margin (best logit minus second best) of each
    cached   whether greedy decoding used a KV cache. For all but dynamic rope
             both ways give the same ids. Dynamic rope takes its base from the
             length of the forward's sequence, while keys in a cache stay rotated
             by the base of their time: greedy_uncached then holds the ids of
             one full forward a step

Llama in transformers has no partial rotary embedding: a partial_rotary_factor
is ignored by the default rope and fails in the others, so there is no variant
of it. Heads wider or narrower than hidden_size/num_attention_heads are
variants head-dim and odd-shapes.
"""

import argparse
import json
import pathlib
import shutil

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from golden import forward, greedy, load, write

BASE = {
    "vocab_size": 128, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 1, "head_dim": 8,
}
# Heads of 16 give eight frequencies, enough to fall into all three bands of llama3 scaling.
ROPE = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
DYNAMIC = ROPE | {"max_position_embeddings": 32}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


class Variant:
    """One checkpoint.

    config      changes to BASE
    dtype       of the stored weights
    keys        edits of the written config.json (None deletes a key)
    like        variant with the same weights and, being spelled differently, the same logits
    wrong       changes to the config that a loader might make; must change the logits
    length      of the prompt
    """

    def __init__(self, name, config=None, dtype=torch.float16, keys=None, like=None, wrong=None, length=24, shard=None):
        self.name, self.dtype, self.keys, self.like, self.wrong = name, dtype, keys or {}, like, wrong
        self.config, self.length, self.shard = BASE | (config or {}), length, shard


def rope(kind, **values):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0} | values}


def legacy(scaling, theta=10000.0):
    """config.json as transformers 4 wrote it."""
    return {"rope_parameters": None, "rope_theta": theta, "rope_scaling": scaling, "torch_dtype": "float16", "dtype": None}


UNSCALED = rope("default")
VARIANTS = [
    # Storage.
    Variant("f32", dtype=torch.float32),
    Variant("f16"),
    Variant("bf16", dtype=torch.bfloat16),
    Variant("f64", {"num_hidden_layers": 1}, dtype=torch.float64),
    Variant("sharded", dtype=torch.float32, shard="32KB"),
    # Shapes.
    Variant("tied", {"tie_word_embeddings": True}),
    Variant("mha", {"num_key_value_heads": 4}),
    Variant("mqa", {"num_key_value_heads": 1}),
    Variant("head-dim", {"head_dim": 12}),
    Variant("odd-shapes", {
        "vocab_size": 101, "hidden_size": 39, "intermediate_size": 53, "num_attention_heads": 3,
        "num_key_value_heads": 1, "head_dim": 14}),
    Variant("bias", {"attention_bias": True, "mlp_bias": True, "eos_token_id": [1, 2]}),
    # Arithmetic.
    Variant("gelu", {"hidden_act": "gelu"}, wrong={"hidden_act": "silu"}),
    Variant("gelu-new", {"hidden_act": "gelu_new"}, wrong={"hidden_act": "silu"}),
    Variant("gelu-tanh", {"hidden_act": "gelu_pytorch_tanh"}, wrong={"hidden_act": "silu"}),
    Variant("relu", {"hidden_act": "relu"}, wrong={"hidden_act": "silu"}),
    Variant("rms-eps", {"rms_norm_eps": 0.1}, wrong={"rms_norm_eps": 1e-6}),
    # Positions.
    Variant("rope-theta", rope("default", rope_theta=100.0), wrong=UNSCALED),
    Variant("rope-theta-legacy", rope("default", rope_theta=100.0), keys=legacy(None, 100.0), like="rope-theta"),
    Variant("rope-linear", ROPE | rope("linear", factor=4.0), wrong=UNSCALED, length=40),
    Variant("rope-linear-legacy", ROPE | rope("linear", factor=4.0),
            keys=legacy({"type": "linear", "factor": 4.0}), like="rope-linear", length=40),
    Variant("rope-dynamic", DYNAMIC | rope("dynamic", factor=2.0), wrong=UNSCALED, length=48),
    Variant("rope-dynamic-legacy", DYNAMIC | rope("dynamic", factor=2.0),
            keys=legacy({"type": "dynamic", "factor": 2.0}), like="rope-dynamic", length=48),
    Variant("rope-llama3", ROPE | rope("llama3", **LLAMA3), wrong=UNSCALED, length=72),
    Variant("rope-llama3-legacy", ROPE | rope("llama3", **LLAMA3),
            keys=legacy({"rope_type": "llama3"} | LLAMA3), like="rope-llama3", length=72),
    # The oldest config.json: everything that has a default is absent.
    Variant("minimal", {"num_key_value_heads": 4, "rms_norm_eps": 1e-6, "max_position_embeddings": 2048}, keys={
        key: None for key in (
            "rope_parameters", "num_key_value_heads", "head_dim", "attention_bias", "mlp_bias", "tie_word_embeddings",
            "hidden_act", "rms_norm_eps", "max_position_embeddings", "attention_dropout", "pretraining_tp",
            "pad_token_id", "dtype", "use_cache", "initializer_range")}),
]


def random_model(variant):
    """Weights depend only on the shapes, so that variants may share them."""
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(**variant.config)).to(variant.dtype)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=generator) * 0.2
            if name.endswith("norm.weight"):
                noise = torch.rand(p.shape, generator=generator) + 0.5
            p.copy_(noise)
    return model


def rewrite(path, keys):
    config = json.loads(path.read_text())
    for key, value in keys.items():
        config.pop(key, None)
        if value is not None:
            config[key] = value
    path.write_text(json.dumps(config, indent=2) + "\n")


def prompt(model, vocab, length):
    """Random ids after which no greedy step is a near-tie, with their greedy continuations."""
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(2, vocab, (length,), generator=generator).tolist()
        runs = [greedy(model, ids, 16, use_cache) for use_cache in (True, False)]
        if min(margin for _, margins in runs for margin in margins) > 0.03:
            return ids, runs
    raise SystemExit("no prompt without a near-tie")


def build(variant, folder, done):
    shutil.rmtree(folder, ignore_errors=True)
    made = random_model(variant)
    made.save_pretrained(folder, **({"max_shard_size": variant.shard} if variant.shard else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    for path in folder.iterdir():
        path.chmod(0o644)
    rewrite(folder / "config.json", variant.keys)

    ids, runs = prompt(load(folder), variant.config["vocab_size"], variant.length)
    # Dynamic rope remembers the longest sequence: each result needs a fresh model.
    logits = forward(load(folder), ids)
    (out, margins), (uncached, uncached_margins) = [
        greedy(load(folder), ids, 16, use_cache) for use_cache in (True, False)]
    golden = {
        "reference": f"transformers {transformers.__version__}, fp32, eager attention",
        "ids": ids, "logits": {"file": "logits.f32", "shape": list(logits.shape)},
        "greedy": out, "margins": margins, "cached": True,
    }
    dynamic = variant.config.get("rope_parameters", {}).get("rope_type") == "dynamic"
    if dynamic:
        golden |= {"greedy_uncached": uncached, "margins_uncached": uncached_margins}
    else:
        assert out == uncached, variant.name

    if variant.wrong:
        config = LlamaConfig(**(variant.config | variant.wrong), attn_implementation="eager")
        other = LlamaForCausalLM(config).eval()
        other.load_state_dict(load(folder).state_dict())
        difference = (forward(other, ids) - logits).abs().max().item()
        assert difference > 0.05, (variant.name, difference)
    if variant.like:
        assert done[variant.like][0] == ids and torch.equal(done[variant.like][1], logits), variant.name
    done[variant.name] = ids, logits
    write(folder, golden, logits)
    return logits.abs().max().item(), min(margins)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("names", nargs="*", help="variants to write; all by default")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    done = {}
    for variant in VARIANTS:
        if not args.names or variant.name in args.names:
            top, margin = build(variant, args.out / variant.name, done)
            size = sum(p.stat().st_size for p in (args.out / variant.name).iterdir())
            print(f"{variant.name:20} {size:7} bytes, largest logit {top:.2f}, smallest margin {margin:.3f}", flush=True)


if __name__ == "__main__":
    main()
