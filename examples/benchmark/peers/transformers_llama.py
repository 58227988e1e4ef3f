"""Hugging Face transformers on the CPU: time to first token and greedy decoding with a KV cache.

usage: transformers_llama.py 1b|3b|FILE.gguf f32|bf16 [--prompts 32,128] [--generate 24] [--repetitions 2] [--threads 2]
"""

import argparse
import json
import os
import resource
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("dtype", choices=["f32", "bf16"])
parser.add_argument("--prompts", default="32,128")
parser.add_argument("--generate", type=int, default=24)
parser.add_argument("--repetitions", type=int, default=2)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)

import torch  # noqa: E402  (reads the variables above)
import transformers  # noqa: E402

torch.set_num_threads(args.threads)
torch.set_grad_enabled(False)
transformers.logging.set_verbosity_error()

SHAPES = {
    "1b": dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8, head_dim=64),
    "3b": dict(hidden_size=3072, intermediate_size=8192, num_hidden_layers=28, num_attention_heads=24, num_key_value_heads=8, head_dim=128),
}
DTYPE = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]


def random_model(shape):
    from accelerate import init_empty_weights

    config = transformers.LlamaConfig(
        vocab_size=128256, tie_word_embeddings=True, rms_norm_eps=1e-5, max_position_embeddings=4096, rope_theta=500000.0, **shape
    )
    with init_empty_weights():
        model = transformers.LlamaForCausalLM(config)
    model = model.to(DTYPE).to_empty(device="cpu")
    model.tie_weights()
    block = torch.empty(1 << 22).uniform_(-0.02, 0.02).to(DTYPE)
    for p in model.parameters():
        if p.dim() == 1:
            p.fill_(1.0)
            continue
        flat = p.view(-1)
        for start in range(0, flat.numel(), block.numel()):
            part = flat[start : start + block.numel()]
            part.copy_(block[: part.numel()])
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)  # its buffers were emptied too
    return model


def milliseconds(samples):
    samples = sorted(s * 1e3 for s in samples)
    return dict(ms=round(statistics.median(samples), 2), min=round(samples[0], 2), max=round(samples[-1], 2))


def emit(**fields):
    print(json.dumps(dict(engine="transformers", model=args.model, dtype=args.dtype, **fields)), flush=True)


if args.model in SHAPES:
    model = random_model(SHAPES[args.model])
else:
    folder, file = os.path.split(args.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder or ".", gguf_file=file, dtype=DTYPE)
model.eval()
weights = sum(p.numel() * p.element_size() for p in {id(p): p for p in model.parameters()}.values()) / 1e9
generator = torch.Generator().manual_seed(1)
for length in map(int, args.prompts.split(",")):
    ids = torch.randint(10, model.config.vocab_size - 10, (1, length), generator=generator)
    prefill = []
    for _ in range(args.repetitions + 1):  # the first one warms up
        start = time.perf_counter()
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1:].argmax(-1)
        prefill.append(time.perf_counter() - start)
    emit(phase="prefill", tokens=length, **milliseconds(prefill[1:]))
    decode = []
    for _ in range(args.generate):
        start = time.perf_counter()
        out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1:].argmax(-1)
        decode.append(time.perf_counter() - start)
    if decode:
        times = milliseconds(decode)
        emit(
            phase="decode",
            after=length,
            tokens=args.generate,
            **times,
            tokens_per_s=round(1e3 / times["ms"], 2),
            weights_gb=round(weights, 4),
            gb_per_s=round(weights * 1e3 / times["ms"], 2),
            peak_rss_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1048576, 2),
        )
