#!/usr/bin/env python3
"""Writes the reference results of one model: golden.json and logits.f32.

transformers computes everything in fp32 with eager attention, one thread, from
the weights as they are stored (F16 or Q4_1, widened to fp32):

    python golden.py --model tinysilu --out golden/tiny-silu --text eval.txt
    python golden.py --model tinyrelu --out golden/tiny-relu --text eval.txt
    python golden.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --out golden/smollm2-135m \\
        --doc-text --max-tokens 4096 --columns 16

golden.json holds

    prompts     text, ids, 32 greedy tokens (going on past an end token), the
                margin of each (best logit minus second best) and their text
    logits      ids of one prompt and, per position, max_abs, argmax and
                logsumexp over the whole row; logits.f32 holds the rows as
                little-endian float32, every `columns`-th vocabulary entry only
    perplexity  ids of a text without special tokens, cut into non-overlapping
                windows of at most 512; every token but the first of a window is
                scored; mean nll per window
    active      per layer, the share of (token, neuron) pairs of that text whose
                gate activation is not exactly zero
"""

import argparse
import json
import math
import pathlib
import re
import subprocess

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

CODE_PROMPTS = [
    "package main\n\nimport (\n\t\"fmt\"\n",
    "// Read reads up to len(p) bytes into p. It returns the number of bytes",
    "func (b *Buffer) WriteString(s string) (n int, err error) {\n",
    "\tif err != nil {\n\t\treturn",
    "for i := 0; i < len(",
    "// A Reader implements",
    "type Config struct {\n",
]
CODE_LOGITS = (
    "// Max returns the larger of x and y.\nfunc Max(x, y int) int {\n"
    "\tif x > y {\n\t\treturn x\n\t}\n\treturn y\n}\n"
)
PROSE_PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n",
    "Water boils at 100 degrees Celsius because",
    "1, 2, 3, 4, 5,",
    "<|im_start|>user\nWhat is the Go programming language?<|im_end|>\n<|im_start|>assistant\n",
]
PROSE_LOGITS = (
    "A goroutine is a lightweight thread managed by the Go runtime. Channels are the pipes"
    " that connect concurrent goroutines: you can send values into channels from one goroutine."
)


def load(path, **kwargs):
    """Loads a model the way every golden is computed: fp32, eager attention."""
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", **kwargs)
    return model.eval()


@torch.no_grad()
def forward(model, ids):
    """Logits of one full forward without a cache: len(ids)×vocab."""
    return model(torch.tensor([ids]), use_cache=False).logits[0]


@torch.no_grad()
def greedy(model, ids, count, use_cache=True):
    """Returns `count` greedy ids and the top-2 margin of each.

    With a cache, one forward reads the prompt and each further one a single
    token; without, every step is a full forward over everything so far.
    """
    ids, out, margins, past = list(ids), [], [], None
    for step in range(count):
        fresh = ids if step == 0 or not use_cache else ids[-1:]
        result = model(torch.tensor([fresh]), past_key_values=past, use_cache=use_cache)
        past = result.past_key_values if use_cache else None
        best = result.logits[0, -1].topk(2)
        margins.append(round((best.values[0] - best.values[1]).item(), 6))
        ids.append(best.indices[0].item())
        out.append(ids[-1])
    return out, margins


def doc_text():
    """The package comments of four doc.go files of the standard library."""
    root = subprocess.check_output(["go", "env", "GOROOT"], text=True).strip()
    parts = []
    for package in ("text/template", "encoding/gob", "fmt", "net/http"):
        source = pathlib.Path(root, "src", package, "doc.go").read_text(encoding="utf-8")
        parts.append(re.search(r"/\*(.*?)\*/", source, re.DOTALL).group(1).strip())
    return "\n\n".join(parts) + "\n"


def window_nll(model, ids, window=512):
    """Mean nll of each non-overlapping window and the number of tokens it scored."""
    nll, scored = [], []
    for start in range(0, len(ids) - 1, window):
        part = torch.tensor(ids[start:start + window])
        if len(part) < 2:
            break
        logits = forward(model, part.tolist())
        nll.append(torch.nn.functional.cross_entropy(logits[:-1].double(), part[1:]).item())
        scored.append(len(part) - 1)
    return nll, scored


class ActiveShare:
    """Counts, by forward hooks, the gate activations that are not zero."""

    def __init__(self, model):
        mlps = [layer.mlp for layer in model.model.layers]
        self.active, self.total = [0] * len(mlps), [0] * len(mlps)
        # Layers may share one activation module: hook the gate and apply it here.
        self.handles = [
            mlp.gate_proj.register_forward_hook(lambda _, __, y, i=i, act=mlp.act_fn: self.count(i, act(y)))
            for i, mlp in enumerate(mlps)
        ]

    def count(self, i, gate):
        self.active[i] += int(torch.count_nonzero(gate))
        self.total[i] += gate.numel()

    def close(self):
        for handle in self.handles:
            handle.remove()
        return [round(a / t, 6) for a, t in zip(self.active, self.total)]


def write(out, golden, logits):
    """Writes golden.json, one array a line, and logits.f32."""
    out.mkdir(parents=True, exist_ok=True)
    logits.numpy().astype("<f4").tofile(out / "logits.f32")
    text = json.dumps(golden, indent=1, ensure_ascii=False)
    flat = re.sub(r"\[\s+([-\d.eE,\s]+?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)
    assert json.loads(flat) == golden
    (out / "golden.json").write_text(flat + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=pathlib.Path, help="Hugging Face directory of a model that writes Go")
    source.add_argument("--gguf", type=pathlib.Path, help="GGUF file of a model that writes English")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", type=pathlib.Path, help="text for the perplexity")
    text.add_argument("--doc-text", action="store_true", help="use package comments of the standard library; writes text.txt")
    parser.add_argument("--max-tokens", type=int, help="leading tokens of the text that count")
    parser.add_argument("--columns", type=int, default=1, help="store every n-th vocabulary entry of the logits")
    args = parser.parse_args()

    torch.set_num_threads(1)
    if args.gguf:
        folder, kwargs = args.gguf.parent, {"gguf_file": args.gguf.name}
        prompts, logits_prompt = PROSE_PROMPTS, PROSE_LOGITS
    else:
        folder, kwargs = args.model, {}
        prompts, logits_prompt = CODE_PROMPTS, CODE_LOGITS
    tok = AutoTokenizer.from_pretrained(folder, **kwargs)
    model = load(folder, **kwargs)

    golden = {
        "model": (args.gguf or args.model).name,
        "reference": f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, fp32, eager attention",
        "prompts": [],
    }
    for prompt in prompts:
        ids = tok(prompt).input_ids
        out, margins = greedy(model, ids, 32)
        golden["prompts"].append({
            "text": prompt, "ids": ids, "greedy": out, "margins": margins,
            "greedy_text": tok.decode(out, clean_up_tokenization_spaces=False),
        })
        print(repr(golden["prompts"][-1]["greedy_text"]), min(margins), flush=True)

    ids = tok(logits_prompt).input_ids
    logits = forward(model, ids)
    kept = logits[:, ::args.columns].contiguous()
    golden["logits"] = {
        "file": "logits.f32", "text": logits_prompt, "ids": ids, "shape": list(kept.shape), "columns": args.columns,
        "max_abs": logits.abs().amax(1).tolist(),
        "argmax": logits.argmax(1).tolist(),
        "logsumexp": logits.double().logsumexp(1).tolist(),
    }

    if args.doc_text:
        text, name = doc_text(), "text.txt"
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / name).write_text(text, encoding="utf-8")
    else:
        text, name = args.text.read_text(encoding="utf-8"), args.text.name
    ids = tok(text, add_special_tokens=False).input_ids[:args.max_tokens]
    share = ActiveShare(model)
    nll, scored = window_nll(model, ids)
    mean = float(np.dot(nll, scored) / sum(scored))
    golden["perplexity"] = {
        "text": name, "window": 512, "ids": ids, "window_nll": nll, "window_scored": scored,
        "nll": mean, "perplexity": math.exp(mean),
    }
    golden["active"] = share.close()
    print(f"nll {mean:.5f} perplexity {math.exp(mean):.4f} over {sum(scored)} tokens, active {golden['active']}")
    write(args.out, golden, kept)


if __name__ == "__main__":
    main()
