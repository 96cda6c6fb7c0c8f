"""A worker that measures PyTorch `adapters`: reads commands on stdin, answers each with one JSON line.

    step      zero_grad, forward, loss, backward, clip, AdamW         -> {"ms": …, "loss": …}
    forward   evaluation of one batch, no gradients                   -> {"ms": …}
    stats     highest resident memory so far                          -> {"peakMB": …}
    quit

Rows are random tokens of full length. bench/ours.mjs speaks the same protocol.

    python bench/peers/adapters_bench.py --model DIR --method seq_bn --batch 16 --length 128 --threads 2
"""

import argparse
import json
import os
import sys
import time

START = time.perf_counter()


def main():
    options = parse()
    # Before torch is imported: its thread pools read it once.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if options.versions:
        from common import versions

        return answer(versions())
    workload = create_workload(options)
    answer({"ready": True, "startupMs": milliseconds(START)})
    for line in sys.stdin:
        command = line.strip()
        if command == "quit":
            return
        if command not in workload:
            answer({"error": f"unknown command '{command}'; expected {', '.join(workload)} or quit"})
            continue
        start = time.perf_counter()
        result = workload[command]()
        answer({"ms": milliseconds(start), **result})


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", action="store_true", help="print the versions of the libraries and end")
    parser.add_argument("--model", help="Hugging Face model folder")
    parser.add_argument("--method", default="seq_bn")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--labels", type=int, default=2)
    parser.add_argument("--head-layers", type=int, default=2)
    parser.add_argument("--fuse", type=int, default=0, help="train a fusion over so many adapters of --method; 0: one adapter")
    return parser.parse_args()


def create_workload(options):
    import torch

    from common import build_model, build_optimizer, peak_megabytes, trainable

    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    model = build_model(options.model, options.method, options.labels, options.head_layers, options.dropout, options.fuse)
    optimizer = build_optimizer(model, learning_rate=1e-4, weight_decay=0.01)
    parameters = trainable(model)
    batch = {
        "input_ids": torch.randint(1000, model.config.vocab_size, (options.batch, options.length)),
        "attention_mask": torch.ones(options.batch, options.length, dtype=torch.long),
    }
    labels = torch.randint(0, options.labels, (options.batch,))

    def step():
        model.train()
        optimizer.zero_grad()
        loss = model(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return {"loss": loss.item()}

    def forward():
        model.eval()
        with torch.no_grad():
            model(**batch).logits.sum().item()
        return {}

    return {"step": step, "forward": forward, "stats": lambda: {"peakMB": peak_megabytes()}}


def answer(value):
    print(json.dumps(value), flush=True)


def milliseconds(start):
    return round((time.perf_counter() - start) * 1000, 2)


main()
