"""Loss trajectories of six AdamW steps with `adapters` on the tiny encoders.

Writes test/golden/trajectories/<variant>.json and <variant>.safetensors (initial values of every parameter that is
trained besides the encoder's own, i.e. adapter and head; encoders/<family> holds the rest). Variants of a group lie in
test/golden/trajectories/<group>/.

One step: mean cross-entropy over the whole batch of eight rows, gradients clipped to a global norm of 1, AdamW
(lr 1e-3, or 1e-4 for full; betas 0.9, 0.999; eps 1e-8; decay 0.01 except on biases and LayerNorms), constant
schedule, no dropout. schedules.json holds the factors of the other schedules. The accumulation variant takes the same loss from two micro-batches of five and three rows.

    python tools/golden/trajectories.py                 # all of it anew
    python tools/golden/trajectories.py ia3-dora        # this group alone
"""

import logging
import sys

import torch
from adapters import (
    AdapterPlusConfig, ConfigUnion, DoRAConfig, DoubleSeqBnConfig, IA3Config, LoRAConfig, MAMConfig, ParBnConfig, PrefixTuningConfig, SeqBnConfig,
    SeqBnInvConfig, UniPELTConfig,
)
from safetensors.torch import save_file
from transformers import get_scheduler

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, number, numbers, provenance, write_json
from methods import NAME, canonical, randomise_named

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "trajectories"
STEPS = 6
LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
LENGTHS = [12, 7, 9, 3, 10, 8, 5, 11]
GATED = dict(use_gating=True)

VARIANTS = {
    "seq_bn": ("bert", SeqBnConfig(reduction_factor=8)),
    "double_seq_bn": ("bert", DoubleSeqBnConfig(reduction_factor=8)),
    "par_bn": ("bert", ParBnConfig(reduction_factor=8)),
    "lora": ("bert", LoRAConfig(r=4, alpha=8)),
    "lora-all": ("bert", LoRAConfig(r=4, alpha=8, attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True)),
    "adapter_plus": ("bert", AdapterPlusConfig(reduction_factor=8, stochastic_depth=0.0)),
    "seq_bn-norms": ("bert", SeqBnConfig(reduction_factor=8, ln_before=True, ln_after=True, scaling="learned")),
    "full": ("bert", None),
    "head": ("bert", None),
    "seq_bn-roberta": ("roberta", SeqBnConfig(reduction_factor=8)),
    "seq_bn-albert": ("albert", SeqBnConfig(reduction_factor=8)),
    "seq_bn-accumulated": ("bert", SeqBnConfig(reduction_factor=8)),
    "seq_bn-use-gating": ("bert", SeqBnConfig(reduction_factor=8, use_gating=True)),
    "lora-use-gating": ("bert", LoRAConfig(r=4, alpha=8, use_gating=True)),
}

GROUPS = {
    "ia3-dora": {
        "ia3": ("bert", IA3Config(output_lora=True)),
        "dora": ("bert", DoRAConfig(r=4, alpha=8, intermediate_lora=True)),
        "ia3-use-gating": ("bert", IA3Config(output_lora=True, use_gating=True)),
    },
    "prefix": {
        "prefix_tuning": ("bert", PrefixTuningConfig(prefix_length=4, bottleneck_size=8)),
        "prefix_tuning_flat": ("roberta", PrefixTuningConfig(prefix_length=4, flat=True, leave_out=[1])),
        "prefix-use-gating": ("bert", PrefixTuningConfig(prefix_length=4, bottleneck_size=8, use_gating=True, shared_gating=False)),
    },
    "invertible": {
        "seq_bn_inv": ("electra", SeqBnInvConfig(reduction_factor=8)),
    },
    "union": {
        "mam": ("bert", MAMConfig(PrefixTuningConfig(prefix_length=4, bottleneck_size=8), ParBnConfig(reduction_factor=8))),
        "unipelt": ("roberta", UniPELTConfig(PrefixTuningConfig(prefix_length=4, bottleneck_size=8, **GATED), SeqBnConfig(reduction_factor=8, **GATED), LoRAConfig(r=4, alpha=2, **GATED))),
        "lora-seq_bn": ("roberta", ConfigUnion(LoRAConfig(r=4, alpha=8), SeqBnConfig(reduction_factor=8))),
    },
}

# Variants that start from another one's parameters.
SAME_START = {"seq_bn-accumulated": "seq_bn", "head": "full"}


def main():
    if not sys.argv[1:]:
        write(VARIANTS)
        write_json(ROOT / "schedules.json", {"provenance": provenance("trajectories.py"), "schedules": schedules()})
    for group in sys.argv[1:] or GROUPS:
        write(GROUPS[group], f"{group}/")


def write(variants, prefix="", generator="trajectories.py", same_start=SAME_START, pooling={}, **versions):
    (ROOT / prefix).mkdir(parents=True, exist_ok=True)
    for variant, (family, config) in variants.items():
        # Gates average over padding, so theirs has none.
        gated = config is not None and any(part.get("use_gating") for part in getattr(config, "configs", [config]))
        batch = make_batch(family, lengths=[max(LENGTHS)] * len(LENGTHS) if gated else LENGTHS, seed=SEED + 5)
        pool = pooling.get(variant)
        single, initial, rate = train(variant, family, config, batch, torch.float32, pool)
        double, _, _ = train(variant, family, config, batch, torch.float64, pool)
        shared = same_start.get(variant, variant)
        if shared == variant:
            save_file(initial, ROOT / f"{prefix}{variant}.safetensors", metadata={"format": "pt"})
        worst = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(single["losses"], double["losses"]))
        write_json(ROOT / f"{prefix}{variant}.json", {
            "provenance": provenance(generator, **versions),
            "encoder": family,
            "method": variant.split("-")[0] if config is None else "adapter",
            "adapterName": NAME,
            "parameters": f"{prefix}{shared}.safetensors",
            "config": None if config is None else config.to_dict(),
            "head": {"num_labels": 2, "layers": 2, "use_pooler": False, "activation_function": "tanh", **({"pooling": pool.ours} if pool else {})},
            "optimiser": {"learningRate": rate, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01, "clip": 1.0, "steps": STEPS},
            "microBatches": micro_batches(variant),
            **batch_json(batch),
            "labels": LABELS.tolist(),
            **{k: convert(v) for k, v in single.items()},
            **{f"{k}64": convert(double[k]) for k in ["losses", "gradientNorms", "logitsBefore", "logitsAfter"]},
            # Round-off only (a key bias shifts all scores of a query alike): AdamW turns it into steps of random sign.
            "vanishingGradient": [k for k, v in double["firstGradientNorms"].items() if v < 1e-10],
            "float32AgainstFloat64": number(worst),
        })
        print(variant, [round(x, 5) for x in single["losses"]], [round(x, 3) for x in single["gradientNorms"]], f"{worst:.1e}")


def schedules():
    """Learning-rate factors of the steps 0, 1, ... of transformers' schedules."""
    out = []
    for name in ["constant", "constant_with_warmup", "linear", "cosine"]:
        for warmup, total in [(0, 10), (3, 10), (1, 7), (10, 10)]:
            if name == "constant" and warmup:
                continue
            optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            schedule = get_scheduler(name, optimiser, num_warmup_steps=warmup, num_training_steps=total)
            factors = []
            for _ in range(total + 2):
                factors.append(schedule.get_last_lr()[0])
                optimiser.step()
                schedule.step()
            out.append({"name": name, "warmup": warmup, "total": total, "factors": numbers(factors)})
    return out


def convert(value):
    return {k: convert(v) for k, v in value.items()} if isinstance(value, dict) else value if isinstance(value, list) and value and isinstance(value[0], str) else numbers(value)


def micro_batches(variant):
    return [5, 3] if variant.endswith("accumulated") else [len(LENGTHS)]


def train(variant, family, config, batch, dtype, pool=None):
    model = load_encoder(family, adapter_model=True)
    model.add_classification_head(NAME, num_labels=2, layers=2)
    if config is not None:
        model.add_adapter(NAME, config=config)
        model.train_adapter(NAME)
    else:
        for k, p in model.named_parameters():
            p.requires_grad = variant.startswith("full") or k.startswith("heads.")
    own = [k for k, p in model.named_parameters() if p.requires_grad and (config is not None or k.startswith("heads."))]
    randomise_named(model, own, SEED + sum(map(ord, family)), 0.2)
    model.active_head = NAME
    model.to(dtype).train()  # every dropout probability is zero
    parameters = {canonical(k): p for k, p in model.named_parameters() if p.requires_grad}
    initial = {canonical(k): parameters[canonical(k)].detach().clone().contiguous() for k in own}

    rate = 1e-4 if variant.startswith("full") else 1e-3
    groups = {True: [], False: []}
    for k in parameters:
        groups[decays(k)].append(k)
    optimiser = torch.optim.AdamW(
        [{"params": [parameters[k] for k in groups[flag]], "weight_decay": 0.01 if flag else 0.0} for flag in (True, False)],
        lr=rate, betas=(0.9, 0.999), eps=1e-8,
    )
    losses, norms, first = [], [], {}
    before = logits(model, batch, pool)
    for step in range(STEPS):
        losses.append(backward(model, batch, micro_batches(variant), pool))
        if step == 0:
            first = {k: float(p.grad.norm()) for k, p in parameters.items() if p.grad is not None}
            without = [k for k, p in parameters.items() if p.grad is None]
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)))
        optimiser.step()
        optimiser.zero_grad()
    losses.append(float(torch.nn.functional.cross_entropy(logits(model, batch, pool), LABELS)))
    return {
        "losses": losses,
        "gradientNorms": norms,
        "firstGradientNorms": first,
        "withoutGradient": without,
        "withoutDecay": groups[False],
        "finalSums": {k: float(p.detach().double().sum()) for k, p in parameters.items()},
        "finalAbsSums": {k: float(p.detach().double().abs().sum()) for k, p in parameters.items()},
        "logitsBefore": before,
        "logitsAfter": logits(model, batch, pool),
    }, initial, rate


def backward(model, batch, sizes, pool=None):
    """Accumulates the gradient of the mean over all rows; each micro-batch is cut to its own longest row."""
    total, start = 0.0, 0
    for size in sizes:
        rows = slice(start, start + size)
        width = int(batch["attention_mask"][rows].sum(1).max())
        out = answer(model, {k: v[rows, :width] for k, v in batch.items()}, pool)
        loss = torch.nn.functional.cross_entropy(out, LABELS[rows], reduction="sum") / len(LABELS)
        loss.backward()
        total += float(loss.detach())
        start += size
    return total


def logits(model, batch, pool=None):
    with torch.no_grad():
        return answer(model, batch, pool)


def answer(model, batch, pool):
    """Of a head on a vector that `adapters` has none for, its linears on what `pool` makes of the last layer."""
    if pool is None:
        return model(**batch).logits
    tokens = model.base_model(**batch).last_hidden_state
    return torch.nn.Sequential.forward(model.heads[NAME], pool(tokens, batch["attention_mask"]))


def decays(name):
    return not (name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name or "adapter_norm" in name)


if __name__ == "__main__":
    main()
