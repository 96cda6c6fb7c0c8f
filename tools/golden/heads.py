"""Golden values of the flexible prediction heads of `adapters` on the tiny BERT: logits and losses.

Writes test/golden/heads/<variant>/{head_config.json,pytorch_model_head.bin} and test/golden/heads/heads.json.

    python tools/golden/heads.py
"""

import logging
import shutil

import torch
from adapters.heads import ClassificationHead

from common import GOLDEN, LENGTHS, SEED, batch_json, load_encoder, make_batch, numbers, provenance, randomise, relative, write_json

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "heads"
NAMES = {0: "alpha", 1: "beta", 2: "gamma"}


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    generator = torch.Generator().manual_seed(SEED)
    rows, width = len(LENGTHS), max(LENGTHS)
    classes = torch.tensor([2, 0, 1, 1, 2])
    scores = torch.tensor([0.5, -1.25, 3.0, 0.0, 2.75])
    several = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])
    tags = torch.randint(0, 3, (rows, width), generator=generator)
    partly = tags.clone()
    partly[:, 0] = -100
    partly[0, 4] = partly[2, 2:5] = partly[3] = -100
    starts, ends = torch.tensor([1, 3, 0, 2, 50]), torch.tensor([4, 3, 12, 2, 60])
    inside = {"start_positions": torch.tensor([1, 3, 0, 2, 5]), "end_positions": torch.tensor([4, 3, 8, 2, 9])}
    choice = torch.tensor([1, 0, 1])
    cases = {
        "classification-1": ("classification", dict(num_labels=3, layers=1, id2label=NAMES), {"labels": classes}),
        "classification-2": ("classification", dict(num_labels=3, layers=2, id2label=NAMES), {"labels": classes}),
        "classification-2-pooler": ("classification", dict(num_labels=3, layers=2, use_pooler=True, id2label=NAMES), {"labels": classes}),
        "classification-1-pooler-no-bias": ("classification", dict(num_labels=3, layers=1, use_pooler=True, bias=False), {"labels": classes}),
        "classification-2-relu": ("classification", dict(num_labels=3, layers=2, activation_function="relu"), {"labels": classes}),
        "classification-2-no-activation": ("classification", dict(num_labels=3, layers=2, activation_function=None), {"labels": classes}),
        "classification-3-dropout": ("classification", dict(num_labels=2, layers=3, dropout_prob=0.2), {"labels": classes.clamp(max=1)}),
        "regression-1": ("classification", dict(num_labels=1, layers=1), {"labels": scores}),
        "regression-2-pooler": ("classification", dict(num_labels=1, layers=2, use_pooler=True), {"labels": scores}),
        "multilabel-1": ("classification", dict(num_labels=3, layers=1, multilabel=True, id2label=NAMES), {"labels": several}),
        "multilabel-2-pooler": ("classification", dict(num_labels=3, layers=2, multilabel=True, use_pooler=True), {"labels": several}),
        "tagging-1": ("tagging", dict(num_labels=3, layers=1, id2label=NAMES), {"labels": tags}),
        "tagging-1-ignored": ("tagging", dict(num_labels=3, layers=1, id2label=NAMES), {"labels": partly}),
        "tagging-2": ("tagging", dict(num_labels=3, layers=2), {"labels": partly}),
        "qa-1": ("qa", dict(layers=1), inside),
        "qa-1-clamped": ("qa", dict(layers=1), {"start_positions": starts, "end_positions": ends}),
        "qa-2": ("qa", dict(layers=2), {"start_positions": starts, "end_positions": ends}),
        "choice-2": ("multiple_choice", dict(num_choices=2, layers=2), {"labels": choice}),
        "choice-1": ("multiple_choice", dict(num_choices=2, layers=1), {"labels": choice}),
        "choice-3-pooler": ("multiple_choice", dict(num_choices=3, layers=2, use_pooler=True), {"labels": torch.tensor([2, 0])}),
    }
    plain = make_batch("bert")
    chosen = make_batch("bert", lengths=[12, 7, 9, 3, 10, 6])
    out = {}
    for index, (variant, (kind, options, labels)) in enumerate(cases.items()):
        batch = chosen if kind == "multiple_choice" else plain
        choices = options.get("num_choices")
        out[variant] = write_head(variant, kind, options, labels, batch, choices, SEED + 31 * index)
    write_json(ROOT / "heads.json", {
        "provenance": provenance("heads.py"),
        "note": "Every head is named as its variant; encoder: encoders/bert. Labels outside a row's attention mask do not count "
        "in tagging; positions beyond the padded width are clamped to it and ignored in question answering.",
        "batch": batch_json(plain),
        "choiceBatch": batch_json(chosen),
        "variants": out,
    })


def write_head(variant, kind, options, labels, batch, choices, seed):
    model = load_encoder("bert", adapter_model=True)
    if {"bias", "dropout_prob"} & set(options):  # not arguments of add_classification_head
        model.add_prediction_head(ClassificationHead(model, variant, **options))
    else:
        getattr(model, f"add_{kind}_head")(variant, **options)
    randomise(model.heads[variant], seed, weight_std=0.3)
    path = ROOT / variant
    path.mkdir(parents=True, exist_ok=True)
    model.save_head(str(path), variant)
    model.active_head = variant
    model.eval()
    inputs = {k: v.view(-1, choices, v.shape[-1]) for k, v in batch.items()} if choices else batch
    single = run(model, inputs, labels)
    double = run(model.double(), inputs, {k: v.double() if v.is_floating_point() else v for k, v in labels.items()})
    keys = {k: list(v.shape) for k, v in torch.load(path / "pytorch_model_head.bin", weights_only=True).items()}
    names = {"labels": "labels", "start_positions": "startPositions", "end_positions": "endPositions"}
    return {
        "headType": model.heads[variant].config["head_type"],
        "batch": "choiceBatch" if choices else "batch",
        "keys": keys,
        **{names[k]: v.tolist() for k, v in labels.items()},
        **{k: numbers(v) for k, v in single.items()},
        "loss64": numbers(double["loss"]),
        "float32AgainstFloat64": max(relative(single[k], double[k]) for k in single),
    }


def run(model, inputs, labels):
    with torch.no_grad():
        # The question-answering head clamps its positions in place.
        out = model(**inputs, **{k: v.clone() for k, v in labels.items()})
    if "start_logits" in out:
        return {"startLogits": out.start_logits, "endLogits": out.end_logits, "loss": out.loss}
    return {"logits": out.logits, "loss": out.loss}


if __name__ == "__main__":
    main()
