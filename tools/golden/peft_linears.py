"""Golden values of methods of `peft` that stand inside linears; each has a generator of its own, which calls `write_group`.

Writes test/golden/peft-linears/<method>/<variant>/ as PEFT saves them, and test/golden/peft-linears/<method>.json: logits or pooled vectors
of a batch, six steps of AdamW from some of the variants (as in trajectories.py: mean cross-entropy of eight rows, gradients clipped to
a norm of 1, lr 1e-3, decay 0.01 except on biases, no dropout), and how many parameters train on BERT-base.
"""

import torch
from peft import get_peft_model, get_peft_model_state_dict
from transformers import AutoModelForSequenceClassification, BertConfig, BertModel

import peft_lora
from common import GOLDEN, SEED, batch_json, make_batch, number, numbers, provenance, write_json
from trajectories import LABELS, LENGTHS, STEPS, backward

ROOT = GOLDEN / "peft-linears"


def write_group(method, cases, trajectories, base, seed):
    """cases: {variant: (family, classifier, config)}; trajectories: {variant: (family, config)}; base: configs by settings on BERT-base."""
    variants = {}
    for index, (variant, (family, classifier, config)) in enumerate(cases.items()):
        where = f"{method}/{variant}"
        written = peft_lora.write_adapter(f"../peft-linears/{where}", classifier, config, index % 2 == 0, make_batch(family), SEED + seed + 17 * index, family)
        variants[variant] = {"encoder": family, **written, "folder": f"peft-linears/{where}"}
    families = sorted({family for family, _, _ in cases.values()})
    write_json(ROOT / f"{method}.json", {
        "provenance": provenance(f"peft_{method}.py", seed=SEED + seed),
        "note": "Base weights: encoders/<encoder>. The head is that of transformers' sequence classification of the family, saved with the adapter.",
        "batches": {family: batch_json(make_batch(family)) for family in families},
        "variants": variants,
        "trajectories": {variant: trajectory(f"{method}/steps-{variant}", family, config, SEED + seed + 5 + index) for index, (variant, (family, config)) in enumerate(trajectories.items())},
        "bertBaseTrainable": {settings: trainable(config) for settings, config in base.items()},
    })


def trajectory(where, family, config, seed):
    batch = make_batch(family, lengths=LENGTHS, seed=SEED + 5)
    runs = {}
    for dtype in (torch.float32, torch.float64):
        model = start(family, config, seed)
        if dtype == torch.float32:
            folder = ROOT / where
            model.save_pretrained(str(folder))
            (folder / "README.md").unlink(missing_ok=True)
            peft_lora.sort_sets(folder / "adapter_config.json")
        runs[dtype] = steps(model.to(dtype).train(), batch)
    double = runs[torch.float64]
    worst = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(runs[torch.float32]["losses"], double["losses"]))
    return {
        "encoder": family,
        "folder": f"peft-linears/{where}",
        "optimiser": {"learningRate": 1e-3, "weightDecay": 0.01, "clip": 1.0, "steps": STEPS},
        **batch_json(batch),
        "labels": LABELS.tolist(),
        **{f"{key}64": {k: number(v) for k, v in value.items()} if isinstance(value, dict) else numbers(value) for key, value in double.items()},
        "float32AgainstFloat64": number(worst),
    }


def start(family, config, seed):
    torch.manual_seed(seed)
    base = AutoModelForSequenceClassification.from_pretrained(str(GOLDEN / "encoders" / family), attn_implementation="eager", num_labels=2)
    base.config._name_or_path = base.name_or_path = f"multigraft-tiny-{family}"
    model = get_peft_model(base, config)
    for one in model.peft_config.values():
        one.base_model_name_or_path = f"multigraft-tiny-{family}"
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def steps(model, batch):
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    groups = [{"params": [p for name, p in trained.items() if name.endswith("bias") == bias], "weight_decay": 0.0 if bias else 0.01} for bias in (False, True)]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    losses, norms = [], []
    for _ in range(STEPS):
        losses.append(backward(model, batch, [len(LENGTHS)]))
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)))
        optimiser.step()
        optimiser.zero_grad()
    final = get_peft_model_state_dict(model)
    return {"losses": losses, "gradientNorms": norms, "finalAbsSums": {key: float(value.double().abs().sum()) for key, value in final.items()}}


def trainable(config):
    torch.manual_seed(0)
    model = get_peft_model(BertModel(BertConfig(), add_pooling_layer=False), config)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
