"""Golden values of MTL-LoRA by Python's `adapters`: three tasks that share A and B, rows of all of them in one batch.

Writes test/golden/mtl-lora/<case>/<task>/ (adapter_config.json, pytorch_adapter.bin, as save_adapter writes them after
share_parameters) and test/golden/mtl-lora/cases.json. The encoder is that of test/golden/encoders/bert (run encoders.py first).
`adapters` 1.3.0 fails when it makes a task_specific_matrix_type "linear", whose class forgets its base class's constructor;
here it is given one, and nothing else of it changes.

    python tools/golden/mtl_lora.py
"""

import logging
import shutil

import torch
from adapters import MTLLoRAConfig
from adapters.composition import MultiTask
from adapters.methods import lora

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, randomise, relative, write_json

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "mtl-lora"
TASKS = ["red", "green", "blue"]
HEAD = "head"
TASK_IDS = [2, 0, 1, 0, 2]
LABELS = [1, 0, 2, 2, 0]


class Linear(torch.nn.Module):
    def __init__(self, rank, dtype=None):
        super().__init__()
        self.values = torch.nn.Parameter(torch.ones(rank, rank, dtype=dtype))

    forward = lora.TaskSpecificLinear.forward


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    lora.TASK_SPECIFIC_MATRIX_CLS["linear"] = Linear
    cases = {
        "several-ups": MTLLoRAConfig(r=3, alpha=6, n_up_projection=3, weights_sharpness=0.5),
        "all-linears": MTLLoRAConfig(
            r=2, alpha=3, n_up_projection=2, weights_sharpness=0.7, attn_matrices=["q", "k", "v"],
            intermediate_lora=True, output_lora=True, leave_out=[1], dropout=0.2,
        ),
        "linear": MTLLoRAConfig(r=3, alpha=6, task_specific_matrix_type="linear"),
    }
    batch = make_batch("bert")
    write_json(ROOT / "cases.json", {
        "provenance": provenance("mtl_lora.py"),
        "note": "logits, loss (cross-entropy) and the norm of its gradient by each parameter, in float64. Tensors that the tasks "
        "share are named as those of an adapter 'shared'. Each row with its task's adapter alone has the same logits.",
        "tasks": TASKS,
        "batch": batch_json(batch),
        "taskIds": TASK_IDS,
        "labels": LABELS,
        "cases": {name: case(name, config, batch, index) for index, (name, config) in enumerate(cases.items())},
    })


def case(name, config, batch, index):
    model = load_encoder("bert", adapter_model=True)
    for task in TASKS:
        model.add_adapter(task, config=config)
    model.share_parameters(TASKS)
    model.add_classification_head(HEAD, num_labels=3, layers=1)
    model.train_adapter(MultiTask(*TASKS))
    fill(model, SEED + index)
    for task in TASKS:
        (ROOT / name / task).mkdir(parents=True)
        model.save_adapter(str(ROOT / name / task), task, with_head=False)

    model.eval()
    single = forward(model, batch, TASK_IDS).detach()
    out = forward(model.double(), batch, TASK_IDS)
    loss = torch.nn.functional.cross_entropy(out, torch.tensor(LABELS))
    loss.backward()
    gradients = {
        k.replace(f".shared_parameters.{','.join(TASKS)}.", ".loras.shared."): p.grad.norm().item()
        for k, p in model.named_parameters()
        if p.requires_grad and not k.startswith("heads.")
    }
    assert sum(k.endswith("lora_A") for k in gradients) * 2 * (1 + len(TASKS)) == len(gradients), gradients.keys()

    alone = []
    for row, task in enumerate(TASK_IDS):
        model.set_active_adapters(TASKS[task])
        model.active_head = HEAD
        with torch.no_grad():
            alone.append(model(**{k: v[row : row + 1] for k, v in batch.items()}).logits[0])
    assert relative(torch.stack(alone), out) < 1e-12, name
    model.set_active_adapters(None)
    with torch.no_grad():
        base = model(**batch).logits
    assert float((base - out.detach()).abs().max()) > 1e-2, f"{name}: the adapters change nothing"
    head = {k: numbers(v) for k, v in model.state_dict().items() if k.startswith(f"heads.{HEAD}.")}
    return {
        "logits": numbers(out),
        "loss": numbers(loss.item()),
        "gradientNorms": {k: numbers(v) for k, v in gradients.items()},
        "head": head,
        "float32AgainstFloat64": relative(single, out),
    }


def forward(model, batch, task_ids):
    model.set_active_adapters(MultiTask(*TASKS))
    model.active_head = HEAD
    return model(**batch, task_ids=torch.tensor(task_ids)).logits


def fill(model, seed):
    """No zero, no equal weights: shared tensors once, since named_parameters lists them once."""
    shell = torch.nn.Module()
    modules = [model.heads[HEAD]]
    for module in model.modules():
        children = getattr(module, "loras", None)
        if isinstance(children, torch.nn.ModuleDict):
            modules += [children[task] for task in TASKS if task in children]
    for index, module in enumerate(modules):
        shell.add_module(str(index), module)
    randomise(shell, seed, weight_std=0.3)


if __name__ == "__main__":
    main()
