"""What every field of every configuration class of Python's `adapters` does: each is given each other sensible value.

Writes test/golden/config-sweep/adapters.json. A tiny BERT with one adapter and a head; no weights are stored: tensors are drawn from
their names by `fill`, which test/golden/sweep.ts repeats. Of each configuration there are

- values: logits of two rows in float64 from tensors in float32, or the error that Python raises,
- changes: whether they differ from those of the class without the change,
- random: whether logits in training differ from them; training: what those are where (nearly) all is dropped, which no chance decides,
- initial: of fields that are about first values, where these differ from those of the class: their count, mean and standard deviation,
- tensors: a number in the list of all that such a folder can hold.

`adapters` writes neither subtract_projection nor random_uniform_scale, which are no fields of its classes: only the first of them can be
read from adapter_config.json, into a configuration but not by load_adapter. Row drop path is a class of torchvision: here one of the same
name drops or keeps whole rows. MTL-LoRA's "linear" fails in Python, as mtl_lora.py says, and is given a constructor.

    OMP_NUM_THREADS=1 python tools/golden/config_sweep.py
"""

import copy
import json
import logging
import re
import sys
import tempfile
import types
from pathlib import Path

import torch
from adapters import (
    AdapterPlusConfig, CompacterConfig, CompacterPlusPlusConfig, DiReftConfig, DoRAConfig, DoubleSeqBnConfig, DoubleSeqBnInvConfig, DvoRAConfig,
    IA3Config, LoRAConfig, LoReftConfig, MTLLoRAConfig, NoReftConfig, ParBnConfig, PrefixTuningConfig, PromptTuningConfig, SeqBnConfig,
    SeqBnInvConfig, VeraConfig,
)
from adapters.methods import lora, modeling
from adapters.methods.reft import ReftUnit

from common import GOLDEN, batch_json, load_encoder, make_batch, numbers, provenance, write_json
from fusion import draw
from mtl_lora import Linear

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "config-sweep"
NAME = "golden"
NEARLY_ALL = 1 - 2**-22
LENGTHS = [5, 5]

FILLS = [
    [r"\.m\.weight$", 1.5, 0.4],
    [r"\.adapter_norm_(before|after)\.weight$", 1, 0.5],
    [r"\.scaling$", 1.3, 0.6],
    [r"\.adapters\..*\.weight$", 0, 0.3],
    [r"\.loras\..*\.lora_[AB]$", 0, 0.3],
    [r"\.control_trans\.", 0, 1.5],
    [r"bias$", 0, 0.3],
    ["", 0, 0.5],
]
BOTH = [True, False]
DROPOUT = [0.3, NEARLY_ALL]
# Fields of first values. Others change them where shapes, or what is drawn before, are others.
INITIAL = ["init_weights", "init_weights_seed", "vera_d", "vera_b", "phm_c_init", "phm_init_range", "hypercomplex_nonlinearity", "prompt_init", "random_uniform_scale"]
UNKNOWN = {"unheard_of": [0.5]}
BOTTLENECK = {
    "mh_adapter": BOTH, "output_adapter": BOTH, "cross_adapter": BOTH, "reduction_factor": [4, 0.5, 5, 100, {"1": 4, "default": 8}, {"1": 4}],
    "non_linearity": ["gelu", "relu", "swish", "tanh", "prelu", "none"], "original_ln_before": BOTH, "original_ln_after": BOTH,
    "ln_before": BOTH, "ln_after": BOTH, "init_weights": ["bert", "mam_adapter", "houlsby", "other"], "init_weights_seed": [3],
    "is_parallel": BOTH, "scaling": [1.0, 0.5, -2, "learned", "channel", "other"], "use_gating": BOTH,
    "residual_before_ln": [True, False, "post_add", "other"], "adapter_residual_before_ln": BOTH, "inv_adapter": [None, "nice", "glow", "other"],
    "inv_adapter_reduction_factor": [None, 2, 4], "leave_out": [[1], [0, 1, 2], [7]], "dropout": DROPOUT, "stochastic_depth": DROPOUT,
    "phm_layer": BOTH, **UNKNOWN,
}
PHM = {
    "phm_dim": [2, 8, 3], "factorized_phm_W": BOTH, "shared_W_phm": BOTH, "shared_phm_rule": BOTH, "factorized_phm_rule": BOTH,
    "phm_c_init": ["uniform", "other"], "phm_init_range": [0.5], "learn_phm": BOTH, "phm_rank": [2], "phm_bias": BOTH,
    "hypercomplex_nonlinearity": ["glorot-normal", "phm", "normal", "other"],
}
LORA = {
    "selfattn_lora": BOTH, "intermediate_lora": BOTH, "output_lora": BOTH, "leave_out": [[1], [0, 1, 2], [7]], "r": [1, 3], "alpha": [3, 1.5],
    "dropout": DROPOUT, "attn_matrices": [["k"], ["q", "k", "v"], ["q", "o"], []], "composition_mode": ["add", "scale", "other"],
    "init_weights": ["lora", "bert", "ia3", "vera", "other"], "init_weights_seed": [3], "use_gating": BOTH, "use_dora": BOTH,
    "vera_d": [None, 0.2], "vera_b": [None, 0.3], "dtype": ["float32", "float16", "bfloat16", "other"], **UNKNOWN,
}
TASKS = {"n_up_projection": [2], "task_specific_matrix_type": ["singular_values", "linear", "other"], "weights_sharpness": [0.5]}
PREFIX = {
    "encoder_prefix": BOTH, "cross_prefix": BOTH, "leave_out": [[1], [0, 1, 2], [7]], "flat": BOTH, "prefix_length": [1, 4], "bottleneck_size": [4],
    "non_linearity": ["relu", "gelu", "other"], "dropout": DROPOUT, "use_gating": BOTH, "shared_gating": BOTH, "init_weights_seed": [3], **UNKNOWN,
}
PROMPT = {
    "prompt_length": [1, 4], "prompt_init": ["random_uniform", "from_string", "other"], "prompt_init_text": ["some text"], "random_uniform_scale": [2.0],
    "combine": ["prefix", "prefix_after_bos", "other"], "init_weights_seed": [3], **UNKNOWN,
}
REFT = {
    "layers": [[1], [0, 2], [7]], "prefix_positions": [0, 1, 9], "suffix_positions": [1, 9], "r": [2], "orthogonality": BOTH, "tied_weights": BOTH,
    "subtract_projection": BOTH, "dropout": [0.0, 0.3, NEARLY_ALL], "non_linearity": ["relu", "gelu", "other"], "dtype": ["float32", "float16", "other"],
    "output_reft": BOTH, "init_weights_seed": [3], **UNKNOWN,
}
AROUND_ONE = [[r"\.lora_B$", 1, 0.5]]

# Class, with settings under which other fields count: [configuration, fields, fills of its own].
CLASSES = {
    "SeqBnConfig": [SeqBnConfig(reduction_factor=8), {**BOTTLENECK, **PHM}],
    "SeqBnConfig with norms": [SeqBnConfig(reduction_factor=8, ln_before=True, ln_after=True, scaling="channel", use_gating=True), BOTTLENECK],
    "DoubleSeqBnConfig": [DoubleSeqBnConfig(reduction_factor=8), BOTTLENECK],
    "ParBnConfig": [ParBnConfig(reduction_factor=8), BOTTLENECK],
    "AdapterPlusConfig": [AdapterPlusConfig(reduction_factor=8, stochastic_depth=0.0), BOTTLENECK],
    "SeqBnInvConfig": [SeqBnInvConfig(reduction_factor=8), {k: BOTTLENECK[k] for k in ["non_linearity", "inv_adapter", "inv_adapter_reduction_factor", "leave_out", "init_weights_seed", "output_adapter", "use_gating"]}],
    "DoubleSeqBnInvConfig": [DoubleSeqBnInvConfig(reduction_factor=8), {k: BOTTLENECK[k] for k in ["inv_adapter", "inv_adapter_reduction_factor", "mh_adapter"]}],
    "CompacterPlusPlusConfig": [CompacterPlusPlusConfig(reduction_factor=4), {**BOTTLENECK, **PHM}],
    "CompacterConfig": [CompacterConfig(reduction_factor=4), PHM],
    "CompacterConfig with whole matrices": [CompacterConfig(reduction_factor=4, factorized_phm_W=False, factorized_phm_rule=True), PHM],
    "LoRAConfig": [LoRAConfig(r=4, alpha=6), LORA],
    "LoRAConfig everywhere": [LoRAConfig(r=4, alpha=6, intermediate_lora=True, output_lora=True, use_gating=True), LORA],
    "IA3Config": [IA3Config(), LORA, AROUND_ONE],
    "VeraConfig": [VeraConfig(r=4), LORA],
    "DoRAConfig": [DoRAConfig(r=4, alpha=6), LORA],
    "DvoRAConfig": [DvoRAConfig(r=4), LORA],
    "MTLLoRAConfig": [MTLLoRAConfig(r=4, alpha=6), {**LORA, **TASKS}],
    "PrefixTuningConfig": [PrefixTuningConfig(prefix_length=3, bottleneck_size=8), PREFIX],
    "PrefixTuningConfig with gates": [PrefixTuningConfig(prefix_length=3, flat=True, use_gating=True), PREFIX],
    "PromptTuningConfig": [PromptTuningConfig(prompt_length=3), PROMPT],
    "LoReftConfig": [LoReftConfig(r=3, dropout=0.0), REFT],
    "NoReftConfig": [NoReftConfig(r=3, suffix_positions=2, dropout=0.0), REFT],
    "DiReftConfig": [DiReftConfig(r=3, prefix_positions=2, dropout=0.0), REFT],
}


def main():
    stand_ins()
    for config, *_ in CLASSES.values():
        swept = {field for other, fields, *_ in CLASSES.values() if other.architecture == config.architecture for field in fields}
        assert set(config.to_dict()) - {"architecture"} <= swept, (config, set(config.to_dict()) - swept)
    batch = make_batch("bert", lengths=LENGTHS)
    classes = {name: ([*own, *FILLS], config, fields) for name, (config, fields, *rest) in CLASSES.items() for own in [rest[0] if rest else []]}
    write_sweep("adapters.json", __file__, __doc__, batch, classes, written, changed, start)


def write_sweep(file, generator, about, batch, classes, plain, change, begin):
    """plain: a configuration as JSON; change: one with a field of another value; begin(config, fills): model, fresh and filled tensors."""
    kinds, out = [], {}
    for name, (fills, config, fields) in classes.items():
        own = {"config": plain(config), "fills": fills, **observe(config, fills, batch, begin, kinds, None)}
        assert "error" not in own, (name, own)
        cases = []
        for field, values in fields.items():
            for value in values:
                if own["config"].get(field, None if field in own["config"] else "absent") == value and type(own["config"].get(field)) is type(value):
                    continue
                found = attempt(config, field, value, fills, batch, change, begin, kinds, own)
                cases.append({"field": field, "value": value, **{k: v for k, v in found.items() if k != "initial" or field in INITIAL}})
        print(f"{name:40s} {len(cases):3d} cases, {sum(c.get('changes', False) for c in cases)} change logits, {sum('error' in c for c in cases)} fail")
        out[name] = {**{k: v for k, v in own.items() if k != "fresh"}, "cases": [{k: v for k, v in c.items() if k != "fresh"} for c in cases]}
    write_json(ROOT / file, {"provenance": provenance(Path(generator).name), "note": " ".join(about.split("\n\n")[2].split()), **batch_json(batch), "tensors": kinds, "classes": out})


def attempt(config, field, value, fills, batch, change, begin, kinds, own):
    try:
        changed_config = change(config, field, value)
    except Exception as error:  # noqa: BLE001
        return {"error": type(error).__name__}
    return observe(changed_config, fills, batch, begin, kinds, own)


def observe(config, fills, batch, begin, kinds, own):
    try:
        model, fresh, filled = begin(config, fills)
        out = {"tensors": kind_of(kinds, filled)}
        with torch.no_grad():
            # Huge logits of nets without norms differ in float32 alone.
            logits = copy.deepcopy(model).double().eval()(**batch).logits.float()
            single = model.eval()(**batch).logits
            trained = [model.train()(**batch).logits for _ in range(2)]
        assert torch.isfinite(logits).all()
    except Exception as error:  # noqa: BLE001
        return {"error": type(error).__name__}
    out["values"] = numbers(logits.flatten())
    if own:
        out["changes"] = differ(torch.tensor(out["values"]), torch.tensor(own["values"]))
    if differ(trained[0], single):
        out["random"] = True
        if not differ(trained[0], trained[1]):
            out["training"] = numbers(trained[0].flatten())
    if own:
        both = [k for k in fresh if k in own["fresh"] and fresh[k].shape == own["fresh"][k].shape]
        if any(not torch.equal(fresh[k], own["fresh"][k]) for k in both) or (fresh and not both):
            out["initial"] = spread(fresh)
    else:
        out["initial"] = spread(fresh)
    return {**out, "fresh": fresh}


def differ(a, b):
    return not float((a - b).abs().max()) <= 1e-6 * float(b.abs().max())


def spread(fresh):
    """[count, mean, standard deviation] of tensors of one kind, whatever the layer."""
    groups = {}
    for key, value in fresh.items():
        if value.is_floating_point():
            groups.setdefault(re.sub(r"\.\d+\.", ".#.", key, count=1), []).append(value.float().flatten())
    return {k: [len(v), float(f"{v.mean():.4g}"), float(f"{v.std(correction=0):.4g}")] for k, v in ((k, torch.cat(vs)) for k, vs in groups.items())}


def kind_of(kinds, tensors):
    """The place in the list of what has these names, shapes and types."""
    kind = {}
    for key, value in tensors.items():
        kind[key] = list(value.shape) if value.dtype == torch.float32 else [str(value.dtype).split(".")[1], *value.shape]
    short = shorten(kind)
    if short not in kinds:
        kinds.append(short)
    return kinds.index(short)


def shorten(kind):
    """Layers of the same tensors are written once, as {0,1,2}."""
    groups = {}
    for key, shape in kind.items():
        found = re.search(r"\.layer\.(\d+)\.", key)
        template = key.replace(found[0], ".layer.{}.", 1) if found else key
        groups.setdefault((template, tuple(shape)), []).append(found[1] if found else "")
    return {template.replace("{}", "{" + ",".join(layers) + "}"): list(shape) for (template, shape), layers in groups.items()}


def fill(name, shape, fills):
    """The tensor of this name: drawn, but where not every number will do."""
    if name.endswith("shira_indices"):
        return (torch.arange(shape[1]) * 7).repeat(2, 1) % torch.tensor([[31], [32]])
    if name.endswith(".0.base"):
        d = shape[0]
        value = torch.zeros(d, d)
        for i in range(d):
            value[i, (7 * i + 3) % d] = -1 if i % 3 == 0 else 1
        return value
    if name.endswith(("randlora_A", "randlora_B")):
        whole = draw(name[-10:], torch.Size([8, 1, 64] if name.endswith("A") else [64, 12, 8]), fills)
        return whole[tuple(slice(0, n) for n in shape)].contiguous()
    value = draw(name, torch.Size(shape), fills)
    if name.endswith(".original"):
        value.diagonal().copy_(torch.tensor([1.0, -1.0] * len(value))[: len(value)])
    return value


def written(config):
    return json.loads(json.dumps(config.to_dict() | ({"subtract_projection": config.subtract_projection} if "subtract_projection" in dir(config) else {})))


def changed(config, field, value):
    out = copy.copy(config)
    object.__setattr__(out, field, value)
    return out


def start(config, fills):
    model = load_encoder("bert", adapter_model=True)
    torch.manual_seed(5)
    model.add_adapter(NAME, config=config)
    model.add_classification_head(NAME, num_labels=3, layers=1)
    model.set_active_adapters(NAME)
    model.active_head = NAME
    for module in model.modules():
        if isinstance(module, ReftUnit):
            module.subtract_projection = config.subtract_projection
    with tempfile.TemporaryDirectory() as folder:
        model.save_adapter(folder, NAME, with_head=False)
        fresh = torch.load(Path(folder) / "pytorch_adapter.bin", weights_only=True)
        filled = {key: value if value.dim() == 0 and not value.is_floating_point() else fill(first_name(key, fresh), value.shape, fills).to(value.dtype) for key, value in fresh.items()}
        head = {key: fill(key, value.shape, fills) for key, value in model.state_dict().items() if key.startswith(f"heads.{NAME}.")}
    result = model.load_state_dict({**filled, **head}, strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    return model, {k: v for k, v in fresh.items() if first_name(k, fresh) == k}, filled


def first_name(key, keys):
    """Of a tensor with several names: the pool's of a prefix, which every layer holds too, and that of a norm that stands in a sequence."""
    others = [re.sub(r"^(\w+)\..*\.prefix_tuning\.pool\.", r"\1.prefix_tuning.", key), key.replace(".adapter_down.0.", ".adapter_norm_before.")]
    return next((other for other in others if other != key and other in keys), key)


def stand_ins():
    class StochasticDepth(torch.nn.Module):
        def __init__(self, p, mode):
            super().__init__()
            assert mode == "row"
            self.p = p

        def forward(self, x):
            keep = (torch.rand(x.shape[0], *[1] * (x.dim() - 1)) >= self.p).to(x.dtype) / (1 - self.p)
            return x * keep if self.training else x

    vision, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    vision.ops, ops.StochasticDepth = ops, StochasticDepth
    path = types.ModuleType("torchvision.ops.stochastic_depth")
    path.StochasticDepth = StochasticDepth
    sys.modules.update({"torchvision": vision, "torchvision.ops": ops, "torchvision.ops.stochastic_depth": path})
    modeling.is_torchvision_available = lambda: True
    lora.TASK_SPECIFIC_MATRIX_CLS["linear"] = Linear
    forward = ReftUnit.forward
    ReftUnit.forward = lambda self, x: forward(self, x.to(self.learned_source.weight.dtype))


if __name__ == "__main__":
    main()
