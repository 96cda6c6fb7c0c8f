"""Trains one task with PyTorch `adapters` from end to end and writes what bench/seeds.mjs and bench/run.mjs compare.

    python bench/peers/adapters_train.py --model DIR --task DIR --method seq_bn --epochs 3 --output result.json

As `transformers.Trainer` does it: a new random order each epoch, AdamW without decay on biases and norms, a linear schedule,
gradients clipped; evaluation after each epoch, the best epoch's weights kept, the test split scored once with them.
"""

import argparse
import json
import os
import random
import time
from pathlib import Path


def main():
    options = parse()
    # Before torch is imported: its thread pools read it once.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    result = train(options)
    text = json.dumps(result, indent=1)
    if options.output:
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        Path(options.output).write_text(text + "\n")
    else:
        print(text)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", required=True, help="folder with card.json and jsonl splits")
    parser.add_argument("--method", default="seq_bn")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=0, help="stop after so many steps; 0: all of them")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--schedule", choices=["linear", "constant", "cosine"], default="linear")
    parser.add_argument("--warmup", type=float, default=0.06, help="steps, or a share of all steps when below 1")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--clip", type=float, default=1.0, help="largest global gradient norm; 0: no clipping")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--padding", choices=["longest", "max"], default="longest")
    parser.add_argument("--head-layers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output")
    return parser.parse_args()


def train(options):
    import torch
    from transformers import get_scheduler, set_seed

    from common import build_model, build_optimizer, peak_megabytes, trainable, versions

    began = time.perf_counter()
    torch.set_num_threads(options.threads)
    set_seed(options.seed)
    task = load_task(options)
    model = build_model(options.model, options.method, max(len(task["labels"]), 1), options.head_layers, options.dropout)
    optimizer = build_optimizer(model, options.learning_rate, options.weight_decay)
    parameters = trainable(model)
    rows = task["splits"]["train"]
    total = options.epochs * -(-len(rows) // options.batch_size)
    total = min(total, options.max_steps or total)
    warmup = options.warmup if options.warmup >= 1 else options.warmup * total
    # Ours warms up whatever comes after; the plain "constant" of the library does not.
    name = "constant_with_warmup" if options.schedule == "constant" else options.schedule
    schedule = get_scheduler(name, optimizer, int(warmup + 0.5), total)
    order = random.Random(options.seed)
    seconds = {"setup": time.perf_counter() - began, "train": 0.0, "evaluate": 0.0}
    losses, validation, best = [], [], None
    steps = tokens = 0
    for _ in range(options.epochs):
        if steps == total:
            break
        start = time.perf_counter()
        model.train()
        indices = order.sample(range(len(rows)), len(rows))
        epoch_losses = []
        for first in range(0, len(rows), options.batch_size):
            if steps == total:
                break
            batch = collate([rows[i] for i in indices[first : first + options.batch_size]], task, options)
            optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            if options.clip > 0:
                torch.nn.utils.clip_grad_norm_(parameters, options.clip)
            optimizer.step()
            schedule.step()
            epoch_losses.append(loss.item())
            tokens += batch["input_ids"].numel()
            steps += 1
        seconds["train"] += time.perf_counter() - start
        losses.append(sum(epoch_losses) / len(epoch_losses))
        start = time.perf_counter()
        validation.append(evaluate(model, task, "validation", options))
        seconds["evaluate"] += time.perf_counter() - start
        if best is None or validation[-1][task["metric"]] >= validation[best][task["metric"]]:
            best = len(validation) - 1
            kept = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in kept:
                parameter.copy_(kept[name])
    start = time.perf_counter()
    test = evaluate(model, task, "test", options) if "test" in task["splits"] else None
    seconds["test"] = time.perf_counter() - start
    seconds["total"] = time.perf_counter() - began
    return {
        "generator": "bench/peers/adapters_train.py",
        "settings": {k: v for k, v in vars(options).items() if k not in ("model", "task", "output")} | {"task": task["name"]},
        "versions": versions(),
        "steps": steps,
        "tokens": tokens,
        "trainableParameters": sum(p.numel() for p in parameters),
        "seconds": {k: round(v, 3) for k, v in seconds.items()},
        "losses": losses,
        "metric": task["metric"],
        "validationByEpoch": validation,
        "bestEpoch": best + 1,
        "validation": validation[best],
        "test": test,
        "peakMB": peak_megabytes(),
    }


def load_task(options):
    from transformers import AutoTokenizer

    folder = Path(options.task)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    if card["kind"] not in ("classification", "regression"):
        raise SystemExit(f"{folder / 'card.json'}: kind '{card['kind']}'; expected classification or regression")
    labels = card.get("labels") or []
    metric = card.get("metric") or card.get("suggestedMetric") or ("accuracy" if labels else "pearson")
    metric = {"matthews correlation": "matthews"}.get(metric, metric)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    splits = {}
    for split in ("train", "validation", "test"):
        path = folder / f"{split}.jsonl"
        if path.exists():
            splits[split] = encode(read_lines(path), tokenizer, labels, options.max_length)
    return {"name": card["name"], "labels": labels, "metric": metric, "tokenizer": tokenizer, "splits": splits}


def read_lines(path):
    # str.splitlines would also split at U+2028 inside a text.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def encode(lines, tokenizer, labels, max_length):
    pairs = [line["textPair"] for line in lines] if "textPair" in lines[0] else None
    encoded = tokenizer([line["text"] for line in lines], pairs, truncation=True, max_length=max_length)
    answers = [labels.index(line["label"]) if labels else float(line["label"]) for line in lines]
    return [{**{k: encoded[k][i] for k in encoded}, "labels": answers[i]} for i in range(len(lines))]


def collate(rows, task, options):
    import torch

    padding = {"padding": "max_length", "max_length": options.max_length} if options.padding == "max" else {"padding": "longest"}
    texts = [{k: v for k, v in row.items() if k != "labels"} for row in rows]
    batch = task["tokenizer"].pad(texts, return_tensors="pt", **padding)
    return {**batch, "labels": torch.tensor([row["labels"] for row in rows], dtype=torch.long if task["labels"] else torch.float)}


def evaluate(model, task, split, options):
    import torch

    rows = task["splits"][split]
    model.eval()
    predictions = []
    with torch.no_grad():
        for first in range(0, len(rows), options.batch_size):
            batch = collate(rows[first : first + options.batch_size], task, options)
            batch.pop("labels")
            logits = model(**batch).logits
            predictions += (logits.argmax(-1) if task["labels"] else logits.squeeze(-1)).tolist()
    return score([row["labels"] for row in rows], predictions, task["labels"])


def score(truth, predictions, labels):
    """The primary metric and every other that fits; the binary F1 is of the second label."""
    if not labels:
        from scipy.stats import pearsonr, spearmanr

        return {"pearson": float(pearsonr(truth, predictions)[0]), "spearman": float(spearmanr(truth, predictions)[0])}
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    scores = {
        "accuracy": accuracy_score(truth, predictions),
        "f1_macro": f1_score(truth, predictions, average="macro"),
        "matthews": matthews_corrcoef(truth, predictions),
    }
    if len(labels) == 2:
        scores["f1"] = f1_score(truth, predictions)
    return {name: float(value) for name, value in scores.items()}


main()
