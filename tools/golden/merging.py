"""Golden values of adapters made of several: `average_adapter` of adapters, `add_weighted_adapter` of peft, on the tiny BERT.

Writes test/golden/merging/merging.json: the factors of the adapters that went in, by their ranks, and for each combination the change of each linear
times fixed vectors.

    python tools/golden/merging.py
"""

import torch
from adapters import BertAdapterModel, LoRAConfig
from peft import LoraConfig, get_peft_model
from transformers import AutoModel

from common import GOLDEN, SEED, numbers, provenance, write_json

WEIGHTS = [0.7, -0.4, 1.2]
AVERAGE = [-0.2, 0.9, 0.3]
TARGETS = r"encoder\.layer\.1\.(attention\.self\.query|intermediate\.dense)"
PATHS = ["encoder.layer.1.attention.self.query", "encoder.layer.1.intermediate.dense"]
PEFT = {
    "linear": dict(),
    "linear, alone": dict(adapters=["a"], weights=[-0.6]),
    "cat": dict(ranks=[3, 2, 4]),
    "svd": dict(svd_rank=4, ranks=[3, 2, 4]),
    "svd, rank left out": dict(combination_type="svd"),
    "ties": dict(density=0.6),
    "ties, frequency": dict(density=0.6, majority_sign_method="frequency"),
    "ties_svd": dict(density=0.5, svd_rank=6),
    "ties_svd, frequency": dict(density=0.5, svd_rank=6, majority_sign_method="frequency"),
    "dare_linear": dict(density=1.0),
    "dare_ties": dict(density=1.0),
    "dare_linear_svd": dict(density=1.0, svd_rank=5),
    "dare_ties_svd": dict(density=1.0, svd_rank=5),
    "magnitude_prune": dict(density=0.4),
    "magnitude_prune_svd": dict(density=0.4, svd_rank=5),
}


def fill(parameters, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)


def main():
    probe = torch.randn(32, 2, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    path = str(GOLDEN / "encoders" / "bert")
    inputs = {}
    peft = {name: weighted(path, name, probe, inputs, **options) for name, options in PEFT.items()}
    adapters = averaged(path, probe, inputs)
    write_json(GOLDEN / "merging" / "merging.json", {
        "provenance": provenance("merging.py"),
        "note": "Adapter i has alpha alphas[i]; changes[path] is (scale B A)·probe in double precision.",
        "probe": numbers(probe),
        "weights": WEIGHTS,
        "average": AVERAGE,
        "inputs": inputs,
        "peft": peft,
        "adapters": adapters,
    })


def weighted(path, name, probe, shared, adapters=("a", "b", "c"), weights=WEIGHTS, ranks=(3, 3, 3), combination_type=None, **options):
    alphas = [5, 3, 7]
    model = None
    for i, adapter in enumerate(adapters):
        config = LoraConfig(r=ranks[i], lora_alpha=alphas[i], target_modules=TARGETS)
        if model is None:
            model = get_peft_model(AutoModel.from_pretrained(path), config, adapter_name=adapter)
        else:
            model.add_adapter(adapter, config)
    base = model.base_model.model
    inputs = shared.setdefault(",".join(map(str, ranks)), [])
    for i, adapter in enumerate(adapters):
        modules = {key: base.get_submodule(key) for key in PATHS}
        for key, module in modules.items():
            fill([module.lora_A[adapter].weight, module.lora_B[adapter].weight], SEED + 31 * i + len(key))
        given = {key: {"down": numbers(module.lora_A[adapter].weight), "up": numbers(module.lora_B[adapter].weight)} for key, module in modules.items()}
        keep(inputs, i, given)
    model.double()
    combination = combination_type or name.split(",")[0]
    model.add_weighted_adapter(list(adapters), list(weights), "out", combination_type=combination, **options)
    model.double()
    return {
        "combination": combination,
        "options": options,
        "weights": list(weights),
        "ranks": list(ranks),
        "alphas": alphas[: len(adapters)],
        "changes": {key: numbers(base.get_submodule(key).get_delta_weight("out").double() @ probe) for key in PATHS},
    }


def keep(inputs, i, given):
    if i == len(inputs):
        inputs.append(given)
    assert inputs[i] == given


def averaged(path, probe, shared):
    model = BertAdapterModel.from_pretrained(path)
    names = ["a", "b", "c"]
    for i, name in enumerate(names):
        model.add_adapter(name, config=LoRAConfig(selfattn_lora=True, attn_matrices=["q"], intermediate_lora=True, leave_out=[0, 2], r=3, alpha=5))
    modules = {key: model.bert.get_submodule(key) for key in PATHS}
    inputs = shared["3,3,3"]
    for i, name in enumerate(names):
        for key, module in modules.items():
            fill([module.loras[name].lora_A, module.loras[name].lora_B], SEED + 31 * i + len(key))
        keep(inputs, i, {key: {"down": numbers(module.loras[name].lora_A), "up": numbers(module.loras[name].lora_B)} for key, module in modules.items()})
    model.double()
    out = {}
    for strategy, options in {
        "linear": {},
        "linear, as they are": dict(normalize_weights=False),
        "lora_linear_only_negate_b": dict(normalize_weights=False),
        "lora_delta_w_svd": dict(svd_rank=4),
    }.items():
        model.average_adapter("out", names, weights=AVERAGE, combine_strategy=strategy.split(",")[0], overwrite_ok=True, **options)
        model.double()
        out[strategy] = {key: numbers((module.loras["out"].scaling * (module.loras["out"].lora_B @ module.loras["out"].lora_A)).double() @ probe) for key, module in modules.items()}
    return {"r": 3, "alpha": 5, "changes": out}


if __name__ == "__main__":
    main()
