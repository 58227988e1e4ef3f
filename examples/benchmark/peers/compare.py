"""Compares a model in this module's benchmark with a peer: decoding and prompts, in processes that take turns.

usage: compare.py PEER MODEL DTYPE [options]

  PEER   the program that llamacpp.sh builds, or transformers
  MODEL  a GGUF file; for transformers also 1b or 3b, a shape with random weights
  DTYPE  the width in the benchmark: f16 for an F16 file, int8g (or int8) for Q8_0, int4 for Q4_0, int4m for Q4_1; f32, bf16

Every round runs both, each in a process of its own, so that neither finds the other's threads or memory. Prints the
medians and the median of the quotients of a round, one JSON object a line: ratio 2 means half the peer's time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("peer")
parser.add_argument("model")
parser.add_argument("dtype")
parser.add_argument("--benchmark", required=True, help="the program of go build ./examples/benchmark")
parser.add_argument("--prompts", default="32,128", help="lengths of prompts")
parser.add_argument("--decode", type=int, default=32, help="tokens decoded after the longest prompt")
parser.add_argument("--repetitions", type=int, default=3, help="in a process, after one to warm up")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
prompts = [int(n) for n in args.prompts.split(",")]


def ours():
    """Milliseconds by phase."""
    if args.model in ("1b", "3b"):
        source = ["-config", f"configs/llama_skip_causal_{args.model}.json"]
    else:
        source = ["-model", args.model]
    times = {}
    for n in prompts:
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            command = [args.benchmark, *source, "-dtype", args.dtype, "-arms", "dense", "-threads", str(args.threads),
                       "-prompt_tokens", str(n), "-new_tokens", str(args.decode + 1 if n == prompts[-1] else 2),
                       "-num_runs", str(args.repetitions), "-temperature", "0", "-ppl_tokens", "0", "-json", out.name]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            arm = json.load(open(out.name))["arms"][0]
        times["prefill", n] = 1e3 * arm["ttft"]["median"]
    times["decode", args.decode] = 1e3 / arm["output_tps"]["median"]
    return times


def peer():
    """Milliseconds by phase."""
    if args.peer == "transformers":
        here = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, os.path.join(here, "transformers_llama.py"), args.model, args.dtype, "--prompts", args.prompts,
                   "--generate", str(args.decode), "--repetitions", str(args.repetitions), "--threads", str(args.threads)]
    else:
        command = [args.peer, "bench", args.model, str(args.threads), args.prompts, str(args.decode), str(args.repetitions)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return {(r["phase"], r["tokens"]): r["ms"] for r in map(json.loads, done.stdout.splitlines())}


rounds = []
for i in range(args.rounds):
    pair = {}
    for run in (ours, peer) if i % 2 == 0 else (peer, ours):
        pair[run.__name__] = run()
    rounds.append(pair)
for phase in rounds[0]["ours"]:
    mine, theirs = ([r[who][phase] for r in rounds] for who in ("ours", "peer"))
    print(json.dumps(dict(
        model=os.path.basename(args.model), dtype=args.dtype, peer=os.path.basename(args.peer), phase=phase[0], tokens=phase[1],
        ours_ms=round(statistics.median(mine), 2), peer_ms=round(statistics.median(theirs), 2),
        ratio=round(statistics.median(b / a for a, b in zip(mine, theirs)), 2),
        ours_runs=[round(x, 2) for x in mine], peer_runs=[round(x, 2) for x in theirs],
    )), flush=True)
