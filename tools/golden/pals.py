"""Golden values of projected attention layers (PALs), by an implementation of the paper's equations in plain torch.

Stickland & Murray 2019: beside each layer, h' = LN(h + SA(h) + TS(h)) with TS(h) = V^D g(V^E h), where h + SA(h) is what the
layer's last norm reads, g is multi-head attention without a matrix after it, and V^E and V^D are the same in all layers. Every
task has its own. The encoder is that of test/golden/encoders/bert (run encoders.py first); written out here it must agree with
transformers before anything is added.

Writes test/golden/pals/pals.safetensors (the tensors, by the names of this package) and test/golden/pals/cases.json.

    python tools/golden/pals.py
"""

import shutil

import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, gelu, layer_norm, linear, softmax

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, relative, write_json

ROOT = GOLDEN / "pals"
TASKS = ["red", "green"]
TASK_IDS = [1, 0, 0, 1, 1]
LABELS = [1, 0, 2, 2, 0]
HEAD = "heads.head.1"
CASES = {"default": dict(size=8, heads=4, leave_out=[]), "wide": dict(size=12, heads=2, leave_out=[1])}
LAYERS, HEADS, EPSILON = 3, 4, 1e-12


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    encoder = load_encoder("bert")
    weights = {f"bert.{k}": v.detach().double() for k, v in encoder.state_dict().items()}
    batch = make_batch("bert")
    with torch.no_grad():
        expected = encoder.double()(**batch).last_hidden_state
    assert relative(encode(weights, batch), expected) < 1e-12
    tensors, cases = {}, {}
    for index, (name, settings) in enumerate(CASES.items()):
        own = parameters(settings, SEED + index)
        tensors.update({f"{name}/{k}": v for k, v in own.items()})
        cases[name] = {**settings, **case(weights, own, settings, batch)}
    ROOT.mkdir(parents=True)
    save_file(tensors, str(ROOT / "pals.safetensors"))
    write_json(ROOT / "cases.json", {
        "provenance": provenance("pals.py"),
        "note": "logits, loss (cross-entropy) and the norm of its gradient by each parameter, in float64; encoderGradientNorms: by "
        "some of the encoder's weights. Tensors of a case stand in pals.safetensors under CASE/NAME.",
        "tasks": TASKS,
        "batch": batch_json(batch),
        "taskIds": TASK_IDS,
        "labels": LABELS,
        "cases": cases,
    })


def parameters(settings, seed):
    """Every tensor of both tasks and the head, by full name, away from any neutral value."""
    generator = torch.Generator().manual_seed(seed)
    size, width = settings["size"], 32
    shapes = {HEAD: (3, width)}
    for task in TASKS:
        shapes[f"bert.shared_parameters.{task}.down"] = (size, width)
        shapes[f"bert.shared_parameters.{task}.up"] = (width, size)
        for layer in set(range(LAYERS)) - set(settings["leave_out"]):
            for part in ("query", "key", "value"):
                shapes[f"bert.encoder.layer.{layer}.output.adapters.{task}.{part}"] = (size, size)
    random = lambda shape, deviation: deviation * torch.randn(shape, generator=generator)  # noqa: E731
    return {k: v for name, shape in shapes.items() for k, v in
            ((f"{name}.weight", random(shape, 0.4)), (f"{name}.bias", random(shape[:1], 0.2)))}


def case(weights, own, settings, batch):
    own = {k: v.double().requires_grad_() for k, v in own.items()}
    weights = {k: v.clone().requires_grad_() for k, v in weights.items()}
    rows = []
    for row, task in enumerate(TASK_IDS):
        alone = {k: v[row : row + 1] for k, v in batch.items()}
        rows.append(encode(weights, alone, own, TASKS[task], settings["heads"])[0, 0])
    logits = affine(own, HEAD, torch.stack(rows))
    loss = cross_entropy(logits, torch.tensor(LABELS))
    loss.backward()
    plain = affine(own, HEAD, encode(weights, batch)[:, 0])
    assert float((plain - logits).detach().abs().max()) > 1e-2
    watched = [k for k in weights if ".layer.0.attention.self." in k or k.endswith("output.LayerNorm.weight")]
    return {
        "logits": numbers(logits),
        "loss": numbers(loss.item()),
        "gradientNorms": {k: numbers(v.grad.norm().item()) for k, v in own.items()},
        "encoderGradientNorms": {k: numbers(weights[k].grad.norm().item()) for k in watched},
    }


def encode(weights, batch, own=None, task=None, small_heads=None):
    """BERT, with the projected attention layers of one task where there are some: [rows, tokens, hidden]."""
    part = lambda name: weights[f"bert.embeddings.{name}.weight"]  # noqa: E731
    positions = torch.arange(batch["input_ids"].shape[1])
    summed = part("word_embeddings")[batch["input_ids"]] + part("position_embeddings")[positions]
    h = norm(weights, "bert.embeddings.LayerNorm", summed + part("token_type_embeddings")[batch["token_type_ids"]])
    visible = batch["attention_mask"][:, None, None, :].bool()
    for layer in range(LAYERS):
        path = f"bert.encoder.layer.{layer}"
        query, key, value = (affine(weights, f"{path}.attention.self.{name}", h) for name in ("query", "key", "value"))
        attended = affine(weights, f"{path}.attention.output.dense", attention(query, key, value, HEADS, visible))
        middle = norm(weights, f"{path}.attention.output.LayerNorm", h + attended)
        forward = affine(weights, f"{path}.output.dense", gelu(affine(weights, f"{path}.intermediate.dense", middle)))
        beside = 0 if own is None else task_function(own, task, layer, h, small_heads, visible)
        h = norm(weights, f"{path}.output.LayerNorm", middle + forward + beside)
    return h


def task_function(own, task, layer, h, heads, visible):
    """TS(h) = V^D g(V^E h)."""
    path = f"bert.encoder.layer.{layer}.output.adapters.{task}"
    if f"{path}.query.weight" not in own:
        return 0
    small = affine(own, f"bert.shared_parameters.{task}.down", h)
    query, key, value = (affine(own, f"{path}.{name}", small) for name in ("query", "key", "value"))
    return affine(own, f"bert.shared_parameters.{task}.up", attention(query, key, value, heads, visible))


def attention(query, key, value, heads, visible):
    apart = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)  # noqa: E731
    query, key, value = apart(query), apart(key), apart(value)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return (softmax(scores.masked_fill(~visible, -torch.inf), -1) @ value).transpose(1, 2).flatten(2)


def affine(weights, name, x):
    return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def norm(weights, name, x):
    return layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], EPSILON)


if __name__ == "__main__":
    main()
