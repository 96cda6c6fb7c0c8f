"""Golden values of adapter methods by Python's `adapters`: bottlenecks with every BnConfig field, LoRA, (IA)3, DoRA, prefixes.

Writes test/golden/methods/<variant>/ (adapter_config.json, pytorch_adapter.bin, head_config.json,
pytorch_model_head.bin, as save_adapter writes them), test/golden/methods/methods.json and, in the same form,
ia3-dora.json, prefix.json, invertible.json, union.json, vera.json and prompt.json. Base encoders are those of test/golden/encoders (run encoders.py first). All adapter
parameters are random: no zero bias, no unit gain or scale, and no magnitude of DoRA that is the norm of its row (a fresh
one is; "initial" holds those of layer 0).

    python tools/golden/methods.py                      # all of it anew
    python tools/golden/methods.py ia3-dora             # this file and its folders alone
"""

import json
import logging
import re
import shutil
import sys

import torch
from adapters import (
    AdapterConfig, AdapterPlusConfig, BertAdapterModel, BnConfig, ConfigUnion, DoRAConfig, DoubleSeqBnConfig, DoubleSeqBnInvConfig, IA3Config,
    LoRAConfig, MAMConfig, ParBnConfig, PrefixTuningConfig, PromptTuningConfig, SeqBnConfig, SeqBnInvConfig, UniPELTConfig, VeraConfig,
)
from adapters.configuration import ADAPTER_CONFIG_MAP
from adapters.methods.lora import IA3
from adapters.utils import get_adapter_config_hash
from transformers import BertConfig
from transformers.modeling_utils import no_init_weights

from common import FAMILIES, GOLDEN, SEED, batch_json, digest, load_encoder, make_batch, numbers, provenance, randomise, relative, write_json

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "methods"
NAME = "golden"

# Activations without parameters (prelu and xielu bring trainable tensors of their own).
ACTIVATIONS = [
    "gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate", "laplace",
    "leaky_relu", "leakyrelu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh",
]

# Computed by the slow reference engine too: one for each kind of module.
REFERENCE = {
    "methods": ["seq_bn", "bn-ln-before-after", "bn-use-gating", "par-scaling-channel", "double_seq_bn-albert-groups", "lora-all", "lora-use-gating"],
    "ia3-dora": ["ia3", "ia3-use-gating", "dora-all", "dora-use-gating"],
    "invertible": ["seq_bn_inv", "seq_bn_inv-albert"],
    "prefix": ["prefix_tuning", "prefix_tuning_flat", "prefix-use-gating-two"],
    "prompt": ["prompt_tuning", "prompt-after-bos"],
    "union": ["mam", "unipelt"],
    "vera": ["vera", "vera-use-gating", "dvora"],
}


def main():
    groups = {"ia3-dora": rescaling, "prefix": prefixes, "invertible": invertible, "union": unions, "vera": vera, "prompt": prompts}
    for group in sys.argv[1:] or ["methods", *groups]:
        if group == "methods":
            write_methods()
        else:
            write_cases(f"{group}.json", {variant: write_variant(variant, family, config) for variant, (family, config) in groups[group]().items()})


def write_methods():
    out = {}
    for variant, (family, config) in variants().items():
        out[variant] = write_variant(variant, family, config)
    for activation in ACTIVATIONS:
        # One folder holds the weights for all: only the activation's name in the config differs.
        variant = f"nonlinearity-{activation}"
        out[variant] = write_variant(variant, "bert", seq(non_linearity=activation), seed=SEED + 99, folder="nonlinearity", weight_std=1.0)
        out[variant]["configChanges"] = {"non_linearity": activation}
    write_cases("methods.json", out)
    write_json(ROOT / "configs.json", {"provenance": provenance("methods.py"), **base_shape_facts()})


def write_cases(name, out, reference=None, generator="methods.py", families=(*FAMILIES, "albert-groups")):
    """reference: the variants that are computed by the slow reference engine too, one for each kind of module."""
    reference = reference or REFERENCE[name.removesuffix(".json")]
    assert set(reference) <= set(out), reference
    write_json(ROOT / name, {
        "provenance": provenance(generator),
        "note": "logits, logits64: padded batch in float32 and float64. logitsUnpadded: every row alone, without padding "
        "(differs only with use_gating, whose gate averages over padding too).",
        "reference": reference,
        "adapterName": NAME,
        "batches": {family: batch_json(make_batch(family)) for family in families},
        "variants": out,
    })


def seq(**kw):
    return SeqBnConfig(**{"reduction_factor": 8, **kw})


def variants():
    presets = {
        "seq_bn": seq(),
        "double_seq_bn": DoubleSeqBnConfig(reduction_factor=8),
        "par_bn": ParBnConfig(reduction_factor=8),
        "lora": LoRAConfig(r=3, alpha=6),
    }
    table = {key: ("bert", config) for key, config in presets.items()}
    for family in [*FAMILIES[1:], "albert-groups"]:
        for key, config in presets.items():
            table[f"{key}-{family}"] = (family, config)
    double = lambda **kw: DoubleSeqBnConfig(**{"reduction_factor": 8, **kw})  # noqa: E731
    parallel = lambda **kw: ParBnConfig(**{"reduction_factor": 8, **kw})  # noqa: E731
    lora = lambda **kw: LoRAConfig(**{"r": 3, "alpha": 6, **kw})  # noqa: E731
    for key, config in {
        "scaled_par_bn": parallel(scaling="learned"),
        "adapter_plus": AdapterPlusConfig(reduction_factor=8, stochastic_depth=0.0),
        "bn-mh-only": double(output_adapter=False),
        "bn-original-ln-before-false": seq(original_ln_before=False),
        "bn-original-ln-after-false": seq(original_ln_after=False),
        "bn-original-ln-none": seq(original_ln_before=False, original_ln_after=False),
        "bn-both-sites-original-ln-before": double(original_ln_before=True),
        "bn-ln-before": seq(ln_before=True),
        "bn-ln-after": seq(ln_after=True),
        "bn-ln-before-after": double(ln_before=True, ln_after=True),
        "bn-ln-after-residual-before-ln": seq(ln_after=True, adapter_residual_before_ln=True),
        "bn-adapter-residual-before-ln": seq(adapter_residual_before_ln=True),
        "bn-residual-before-ln-false": seq(residual_before_ln=False),
        "bn-residual-before-ln-post-add": seq(residual_before_ln="post_add"),
        "bn-residual-before-ln-false-original-ln-before-false": seq(residual_before_ln=False, original_ln_before=False),
        "bn-scaling-float": seq(scaling=0.7),
        "bn-scaling-learned": seq(scaling="learned"),
        "bn-scaling-channel": seq(scaling="channel"),
        "bn-use-gating": seq(use_gating=True),
        "bn-use-gating-double": double(use_gating=True, scaling="learned"),
        "bn-leave-out": double(leave_out=[1]),
        "bn-reduction-factor-map": double(reduction_factor={"1": 4, "default": 8}),
        "bn-reduction-factor-widening": seq(reduction_factor=0.8, leave_out=[0, 1]),
        "bn-reduction-factor-uneven": seq(reduction_factor=5),
        "bn-reduction-factor-huge": seq(reduction_factor=64),
        "bn-dropout": seq(dropout=0.3),
        "bn-init-houlsby": seq(init_weights="houlsby"),
        "bn-init-mam": seq(init_weights="mam_adapter"),
        "bn-init-seed": seq(init_weights_seed=42),
        "par-mh-and-output": parallel(mh_adapter=True),
        "par-original-ln-after-false": parallel(original_ln_after=False),
        "par-ln-before": parallel(ln_before=True),
        "par-ln-after": parallel(ln_after=True),
        "par-use-gating": parallel(use_gating=True),
        "par-scaling-channel": parallel(scaling="channel"),
        "par-leave-out": parallel(leave_out=[0, 2]),
        "lora-all": lora(attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True),
        "lora-feed-forward-only": lora(selfattn_lora=False, intermediate_lora=True, output_lora=True),
        "lora-k": lora(attn_matrices=["k"]),
        "lora-alpha-1": lora(alpha=1, r=4),
        "lora-use-gating": lora(use_gating=True, intermediate_lora=True),
        "lora-leave-out": lora(leave_out=[1]),
        "lora-dropout": lora(dropout=0.2),
        "lora-init-bert": lora(init_weights="bert"),
    }.items():
        table[key] = ("bert", config)
    return table


def rescaling():
    """(IA)3 and DoRA: methods that multiply what a linear layer gives."""
    dora = lambda **kw: DoRAConfig(**{"r": 3, "alpha": 6, **kw})  # noqa: E731
    table = {key: ("bert", config) for key, config in {
        "ia3": IA3Config(),
        "ia3-output": IA3Config(output_lora=True),
        "ia3-output-only": IA3Config(selfattn_lora=False, intermediate_lora=False, output_lora=True),
        "ia3-qkv": IA3Config(attn_matrices=["q", "k", "v"], intermediate_lora=False),
        "ia3-q": IA3Config(attn_matrices=["q"], intermediate_lora=False),
        "ia3-alpha-2": IA3Config(alpha=2),
        "ia3-leave-out": IA3Config(leave_out=[0, 2], output_lora=True),
        "ia3-use-gating": IA3Config(use_gating=True),
        "dora": DoRAConfig(),
        "dora-alpha": dora(),
        "dora-alpha-1": dora(alpha=1, attn_matrices=["k"]),
        "dora-all": dora(attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True),
        "dora-feed-forward-only": dora(selfattn_lora=False, intermediate_lora=True, output_lora=True),
        "dora-leave-out": dora(leave_out=[1]),
        "dora-dropout": dora(dropout=0.2),
        "dora-use-gating": dora(use_gating=True),
    }.items()}
    for family in [*FAMILIES[1:], "albert-groups"]:
        table[f"ia3-{family}"] = (family, IA3Config(attn_matrices=["q", "k", "v"], output_lora=True))
        table[f"dora-{family}"] = (family, dora(intermediate_lora=True, output_lora=True))
    return table


def prefixes():
    """Prefix tuning. keys in prefix.json has all that is on disk: the pool's tensors and, for each layer, their aliases."""
    prefix = lambda **kw: PrefixTuningConfig(**{"prefix_length": 4, "bottleneck_size": 8, **kw})  # noqa: E731
    table = {key: ("bert", config) for key, config in {
        "prefix_tuning": prefix(),
        "prefix_tuning_flat": prefix(flat=True),
        "prefix-length-1": prefix(prefix_length=1),
        "prefix-relu": prefix(prefix_length=7, bottleneck_size=12, non_linearity="relu"),
        "prefix-leave-out": prefix(leave_out=[1]),
        "prefix-flat-leave-out": prefix(flat=True, leave_out=[0]),
        "prefix-dropout": prefix(dropout=0.2),
        "prefix-use-gating": prefix(use_gating=True),
        "prefix-use-gating-two": prefix(use_gating=True, shared_gating=False, leave_out=[0]),
        "prefix-flat-use-gating": prefix(flat=True, use_gating=True),
    }.items()}
    for family in [*FAMILIES[1:], "albert-groups"]:
        table[f"prefix_tuning-{family}"] = (family, prefix(prefix_length=3))
        table[f"prefix_tuning_flat-{family}"] = (family, prefix(flat=True, prefix_length=5))
    return table


def invertible():
    """NICE blocks on the output of the embeddings, before the projection that ELECTRA and ALBERT have (width 24, not 32)."""
    nice = dict(inv_adapter="nice", inv_adapter_reduction_factor=2)
    table = {key: ("bert", config) for key, config in {
        "seq_bn_inv": SeqBnInvConfig(reduction_factor=8),
        "double_seq_bn_inv": DoubleSeqBnInvConfig(reduction_factor=8),
        "inv-reduction-factor-3": SeqBnInvConfig(reduction_factor=8, inv_adapter_reduction_factor=3, non_linearity="tanh"),
        "inv-reduction-factor-half": SeqBnInvConfig(reduction_factor=8, inv_adapter_reduction_factor=0.5, leave_out=[0, 2]),
        "inv-alone": BnConfig(mh_adapter=False, output_adapter=False, reduction_factor=8, non_linearity="gelu", **nice),
        "inv-par_bn": ParBnConfig(reduction_factor=8, **nice),
    }.items()}
    for family in [*FAMILIES[1:], "albert-groups"]:
        table[f"seq_bn_inv-{family}"] = (family, SeqBnInvConfig(reduction_factor=8))
    return table


def unions():
    """Several methods as one adapter: each acts at its own sites. Two that are LoRA by architecture fail in Python, even in different layers."""
    prefix = PrefixTuningConfig(prefix_length=3, bottleneck_size=8)
    lora = LoRAConfig(r=3, alpha=6)
    parallel = ParBnConfig(reduction_factor=8)
    table = {}
    for key, config in {
        "mam": MAMConfig(prefix, parallel),
        "union-lora-seq_bn": ConfigUnion(lora, seq()),
        "union-prefix_tuning-par_bn": AdapterConfig.load("prefix_tuning[prefix_length=3,bottleneck_size=8]|par_bn[reduction_factor=8]"),
        "union-par_bn-prefix_tuning": ConfigUnion(parallel, prefix),
    }.items():
        table[key] = ("bert", config)
        table[f"{key}-roberta"] = ("roberta", config)
    gated = dict(use_gating=True)
    for key, config in {
        "unipelt": UniPELTConfig(PrefixTuningConfig(prefix_length=3, bottleneck_size=8, **gated), seq(**gated), LoRAConfig(r=2, alpha=2, **gated)),
        "union-bottlenecks": ConfigUnion(DoubleSeqBnConfig(output_adapter=False, reduction_factor=4), seq()),
        "union-leave-out": ConfigUnion(seq(leave_out=[0]), ParBnConfig(reduction_factor=4, leave_out=[1, 2]), LoRAConfig(r=2, leave_out=[1])),
        "union-ia3-prefix_tuning_flat": ConfigUnion(IA3Config(), PrefixTuningConfig(flat=True, prefix_length=2, leave_out=[1])),
        "union-seq_bn_inv-dora": ConfigUnion(SeqBnInvConfig(reduction_factor=8), DoRAConfig(r=2, alpha=4)),
    }.items():
        table[key] = ("bert", config)
    for family in ["distilbert", "albert"]:
        table[f"mam-{family}"] = (family, MAMConfig(prefix, parallel))
    return table


def vera():
    """VeRA: y = W x + bias + (alpha / r) D_out B D_in A x, all linears with the same frozen A and B, and D full matrices, not diagonals."""
    config = lambda **kw: VeraConfig(**{"r": 3, "alpha": 6, **kw})  # noqa: E731
    table = {key: ("bert", value) for key, value in {
        "vera": config(),
        "vera-qkv": config(attn_matrices=["q", "k", "v"], alpha=2),
        "vera-feed-forward": config(selfattn_lora=False, intermediate_lora=True),
        "vera-leave-out": config(leave_out=[0]),
        "vera-use-gating": config(use_gating=True),
        "dvora": config(use_dora=True),
    }.items()}
    return {**table, **{f"vera-{family}": (family, config()) for family in ["roberta", "distilbert", "albert"]}}


def prompts():
    """Prompt tuning: vectors among the embeddings (behind their norm), first of all or behind the first token; the head reads
    row 0, which is a prompt vector when they are first. DistilBERT with eager attention fails in Python."""
    table = {
        "prompt_tuning": ("bert", PromptTuningConfig(prompt_length=4)),
        "prompt-after-bos": ("bert", PromptTuningConfig(prompt_length=3, combine="prefix_after_bos")),
    }
    for family in ["roberta", "xlm-roberta", "electra", "albert"]:
        table[f"prompt_tuning-{family}"] = (family, PromptTuningConfig(prompt_length=3))
    return table


def write_variant(variant, family, config, seed=None, folder=None, weight_std=0.3):
    index = sum(map(ord, variant))
    model = load_encoder(family, adapter_model=True)
    model.add_adapter(NAME, config=config)
    model.add_classification_head(NAME, num_labels=3, layers=1, id2label={0: "alpha", 1: "beta", 2: "gamma"})
    before = {k: v.clone() for k, v in model.state_dict().items() if f".{NAME}." not in k}
    touched = trainable(model)
    initial = {k: numbers(p.flatten()) for k, p in model.named_parameters() if k in touched and k.endswith(".m.weight") and ".1." not in k and ".2." not in k}
    frozen = [k for k, p in model.named_parameters() if f".shared_parameters.{NAME}." in k and not p.requires_grad]
    randomise_named(model, touched, seed or SEED + index, weight_std)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    model.set_active_adapters(NAME)
    model.active_head = NAME
    model.eval()
    batch = make_batch(family)

    path = ROOT / (folder or variant)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, exist_ok=True)
    model.save_adapter(str(path), NAME)
    saved = torch.load(path / "pytorch_adapter.bin", weights_only=True)

    with torch.no_grad():
        single = model(**batch, output_hidden_states=True)
        alone = torch.cat([model(**row(batch, i)).logits for i in range(len(batch["input_ids"]))])
        model.set_active_adapters(None)
        base = model(**batch)
        model.set_active_adapters(NAME)
        double = model.double()(**batch)
    assert float((single.logits - base.logits).abs().max()) > 1e-2, f"{variant}: the adapter changes nothing"
    if not any(part.get("use_gating") for part in getattr(config, "configs", [config])):
        assert float((single.logits - alone).abs().max()) < 1e-4, variant
    return {
        "folder": f"methods/{folder or variant}",
        "encoder": family,
        "hash": get_adapter_config_hash(config),
        "keys": {k: list(v.shape) for k, v in saved.items()},
        "trainable": sum(p.numel() for k, p in model.named_parameters() if k in touched),
        "logits": numbers(single.logits),
        "logits64": numbers(double.logits),
        "logitsUnpadded": numbers(alone),
        "lastHiddenState": {k: v for k, v in digest(single.hidden_states[-1]).items() if k != "firstToken"},
        "float32AgainstFloat64": relative(single.logits, double.logits),
        **({"initial": initial} if initial else {}),
        **({"frozen": frozen} if frozen else {}),
    }


def trainable(model):
    """Adapter parameter names that train_adapter switches on (without the head's)."""
    model.train_adapter(NAME)
    return [k for k, p in model.named_parameters() if p.requires_grad and not k.startswith("heads.")]


def randomise_named(model, names, seed, weight_std):
    """Fills adapters and head; LayerNorm gains by module type, as in common.randomise. Scales lie about 1, magnitudes about 1.5."""
    shell = torch.nn.Module()
    for index, module in enumerate(adapter_modules(model)):
        shell.add_module(str(index), module)
    randomise(shell, seed, weight_std=weight_std)
    with torch.no_grad():
        for module in shell.children():
            if isinstance(module, IA3):
                module.lora_B.add_(1)
            if getattr(module, "use_dora", False):
                module.m.weight.add_(1.5)
    filled = {id(p) for p in shell.parameters()}
    missing = [k for k, p in model.named_parameters() if k in names and id(p) not in filled]
    assert not missing, missing


def canonical(name):
    """The pool's name of a prefix, which every layer holds too."""
    return re.sub(r"^(\w+)\..*\.prefix_tuning\.pool\.", r"\1.prefix_tuning.", name)


def adapter_modules(model):
    found = [model.heads[NAME]] if NAME in model.heads else []
    if NAME in model.base_model.invertible_adapters:
        found.append(model.base_model.invertible_adapters[NAME])
    if NAME in model.base_model.shared_parameters:
        found.append(model.base_model.shared_parameters[NAME])
    for module in model.modules():
        for attribute in ("adapters", "loras", "prefix_tunings", "prefix_gates", "prompt_tunings"):
            children = getattr(module, attribute, None)
            if isinstance(children, torch.nn.ModuleDict) and NAME in children:
                found.append(children[NAME])
    return found


def row(batch, i):
    length = int(batch["attention_mask"][i].sum())
    return {k: v[i : i + 1, :length] for k, v in batch.items()}


def base_shape_facts():
    """Hashes of every preset, and for BERT-base: trainable parameter counts and statistics of fresh initial weights."""
    presets = dict(ADAPTER_CONFIG_MAP)
    hashes = {k: get_adapter_config_hash(c) for k, c in presets.items()}
    hashes["AdapterPlusConfig"] = get_adapter_config_hash(AdapterPlusConfig())
    torch.manual_seed(SEED)
    with no_init_weights():
        model = BertAdapterModel(BertConfig())
    counts, initial = {}, {}
    cases = {
        "seq_bn": SeqBnConfig(), "double_seq_bn": DoubleSeqBnConfig(), "par_bn": ParBnConfig(), "scaled_par_bn": ParBnConfig(scaling="learned"),
        "adapter_plus": AdapterPlusConfig(stochastic_depth=0.0), "lora": LoRAConfig(),
        "lora[attn_matrices=['q','k','v'],intermediate_lora=True,output_lora=True]": LoRAConfig(attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True),
        "seq_bn[ln_before=True,ln_after=True,use_gating=True,scaling='channel']": SeqBnConfig(ln_before=True, ln_after=True, use_gating=True, scaling="channel"),
        "seq_bn[init_weights='houlsby']": SeqBnConfig(init_weights="houlsby"),
        "lora[init_weights='bert']": LoRAConfig(init_weights="bert"),
    }
    for key, config in cases.items():
        model.add_adapter(NAME, config=config)
        model.train_adapter(NAME)
        parameters = {k: p for k, p in model.named_parameters() if p.requires_grad}
        counts[key] = sum(p.numel() for p in parameters.values())
        initial[key] = statistics({k: p for k, p in parameters.items() if ".layer.3." in k})
        model.delete_adapter(NAME)
    return {"hashes": hashes, "configs": {k: json.loads(json.dumps(c.to_dict())) for k, c in presets.items()}, "bertBaseTrainable": counts, "bertBaseInitialLayer3": initial}


def statistics(parameters):
    return {
        k: {"shape": list(p.shape), "mean": numbers(p.mean().item()), "std": numbers(p.std(correction=0).item()), "min": numbers(p.min().item()), "max": numbers(p.max().item())}
        for k, p in parameters.items()
    }


if __name__ == "__main__":
    main()
