"""What every field of the configuration classes of `peft` that are read here does: each is given each other sensible value.

Writes test/golden/config-sweep/peft.json in the form of config_sweep.py, from transformers' sequence classification on the tiny BERT.

Of each configuration there are values (logits of two rows in float64, or the error that PEFT raises), changes (whether they differ from
those of the class), random (whether training differs), training (logits where nearly all is dropped), tensors (a number in the list of
all that such a folder can hold). Tensors are drawn from their names, those that PEFT keeps fixed too; the indices of SHiRA by a rule.

    OMP_NUM_THREADS=1 python tools/golden/peft_sweep.py
"""

import copy
import json
import tempfile
from pathlib import Path

import torch
from peft import (
    FourierFTConfig, LNTuningConfig, LoHaConfig, LoKrConfig, LoraConfig, MissConfig, OFTConfig, PeftConfig, RandLoraConfig, RoadConfig,
    ShiraConfig, get_peft_model, set_peft_model_state_dict,
)
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from common import GOLDEN, make_batch
from config_sweep import BOTH, DROPOUT, LENGTHS, UNKNOWN, fill, write_sweep
from peft_lora import sort_sets

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])
FILLS = [
    [r"\.lora_magnitude_vector", 1.5, 0.4],
    [r"LayerNorm\.weight$", 1, 0.5],
    [r"\.(ia3_l|road_alpha)$", 1, 0.5],
    [r"randlora_[AB]$", 0, 0.4],
    [r"\.(oft_R|fourierft_spectrum)", 0, 0.2],
    ["", 0, 0.3],
]
COMMON = {
    "task_type": [None, "FEATURE_EXTRACTION"], "revision": ["other"], "inference_mode": BOTH,
    "target_modules": [["key"], ["query", "output.dense"], "all-linear", r".*layer\.[02]\..*(query|intermediate\.dense)", ["pooler.dense"], ["word_embeddings"], ["query", "classifier"]],
    "exclude_modules": [["layer.1.attention.self.query"], r".*layer\.0\..*"], "modules_to_save": [["pooler"], ["LayerNorm"], ["word_embeddings"]], **UNKNOWN,
}
LAYERS = {"layers_to_transform": [[0, 2], 1], "layers_pattern": ["layer", ["layer", "other"]]}
BIAS = {"bias": ["none", "all", "other"]}
FAN = {"fan_in_fan_out": BOTH}
PATTERNS = {"rank_pattern": [{"query": 2}, {r".*layer\.1\..*": 3}], "alpha_pattern": [{"query": 3}, {r".*layer\.1\..*": 5}]}
CLASSES = {
    "LoraConfig": [LoraConfig(r=4, lora_alpha=6, **QV, **HEAD), {
        **COMMON, **LAYERS, **FAN, **PATTERNS, "r": [1, 3], "lora_alpha": [3], "lora_dropout": DROPOUT, "bias": ["none", "all", "lora_only", "other"], "use_rslora": BOTH,
        "init_lora_weights": [True, False, "gaussian", "olora", "pissa", "pissa_niter_4", "orthogonal", "eva", "corda", "loftq", "lora_ga", "other"],
        "megatron_config": [{"a": 1}], "megatron_core": ["other"], "trainable_token_indices": [[3, 4]], "loftq_config": [{"loftq_bits": 4}],
        "eva_config": [{"rho": 1.0}], "corda_config": [{"corda_method": "ipm"}], "lora_ga_config": [{"direction": "ArBr"}], "use_dora": BOTH,
        "velora_config": [{"num_groups": 2}], "alora_invocation_tokens": [[5]], "use_qalora": BOTH, "qalora_group_size": [8], "monteclora_config": [{"a": 1}],
        "layer_replication": [[[0, 2], [1, 3]]], "runtime_config": [{"ephemeral_gpu_offload": True}], "lora_bias": BOTH,
        "target_parameters": [["query.weight"]], "use_bdlora": [{"a": 1}], "arrow_config": [{"top_k": 2}], "kasa_config": [{"a": 1}], "ensure_weight_tying": BOTH,
    }],
    "LNTuningConfig": [LNTuningConfig(target_modules=["LayerNorm"], **HEAD), {
        **COMMON, "target_modules": [["attention.output.LayerNorm"], ["embeddings.LayerNorm"], r".*layer\.1\.output\.LayerNorm", ["query"]], "exclude_modules": [["embeddings.LayerNorm"]],
    }],
    "LoHaConfig": [LoHaConfig(r=4, alpha=6, **QV, **HEAD), {
        **COMMON, **LAYERS, **PATTERNS, "r": [2], "alpha": [3], "rank_dropout": DROPOUT, "module_dropout": [0.3, 1.0], "use_effective_conv2d": BOTH, "init_weights": BOTH,
    }],
    "LoKrConfig": [LoKrConfig(r=3, alpha=6, **QV, **HEAD), {
        **COMMON, **LAYERS, **PATTERNS, "r": [2, 16], "alpha": [3], "rank_dropout": DROPOUT, "module_dropout": [0.3, 1.0], "use_effective_conv2d": BOTH,
        "decompose_both": BOTH, "decompose_factor": [4, 8], "rank_dropout_scale": BOTH, "init_weights": [True, False, "lycoris", "other"],
    }],
    "LoKrConfig with rank_dropout": [LoKrConfig(r=3, alpha=6, rank_dropout=0.4, **QV, **HEAD), {"rank_dropout_scale": BOTH}],
    "OFTConfig": [OFTConfig(oft_block_size=8, **QV, **HEAD), {
        **COMMON, **LAYERS, **FAN, "r": [4], "oft_block_size": [4, 16], "module_dropout": [0.3, 1.0], "bias": ["none", "all", "oft_only", "other"], "init_weights": BOTH,
        "coft": BOTH, "eps": [1e-3], "block_share": BOTH, "use_cayley_neumann": BOTH, "num_cayley_neumann_terms": [2, 7],
    }],
    "MissConfig": [MissConfig(r=4, **QV, **HEAD), {
        **COMMON, **LAYERS, **BIAS, "r": [8, 5], "miss_dropout": DROPOUT, "mini_r": [2, 8], "init_weights": [True, False, "bat", "mini", "other"],
    }],
    "MissConfig with bat": [MissConfig(r=4, init_weights="bat", **QV, **HEAD), {"miss_dropout": DROPOUT, "r": [8, 5], "mini_r": [2]}],
    "MissConfig with mini": [MissConfig(r=4, mini_r=8, init_weights="mini", **QV, **HEAD), {"miss_dropout": DROPOUT, "r": [8, 5], "mini_r": [2]}],
    "RoadConfig": [RoadConfig(group_size=16, **QV, **HEAD), {
        **{k: v for k, v in COMMON.items() if k != "exclude_modules"}, "variant": ["road_2", "road_4", "other"], "group_size": [8, 7], "init_weights": BOTH,
    }],
    "ShiraConfig": [ShiraConfig(r=2, random_seed=7, **QV, **HEAD), {
        **{k: v for k, v in COMMON.items() if k != "exclude_modules"}, **FAN, "r": [3], "mask_type": ["other"], "random_seed": [None, 8], "init_weights": BOTH,
    }],
    "FourierFTConfig": [FourierFTConfig(n_frequency=60, scaling=20.0, **QV, **HEAD), {
        **COMMON, **LAYERS, **FAN, **BIAS, "n_frequency": [30], "scaling": [10.0], "random_loc_seed": [3], "n_frequency_pattern": [{"query": 20}], "init_weights": BOTH,
    }],
    "RandLoraConfig": [RandLoraConfig(r=4, randlora_alpha=6, **QV, **HEAD), {
        **{k: v for k, v in COMMON.items() if k != "exclude_modules"}, **LAYERS, **FAN, **BIAS, "r": [3], "projection_prng_key": [4], "save_projection": BOTH, "sparse": BOTH,
        "very_sparse": BOTH, "randlora_dropout": DROPOUT, "randlora_alpha": [9], "init_weights": BOTH,
    }],
}


def main():
    for config, fields in CLASSES.values():
        names = {field for other, fields in CLASSES.values() if type(other) is type(config) for field in fields}
        assert set(config.to_dict()) - {"peft_type", "auto_mapping", "peft_version", "base_model_name_or_path"} <= names, set(config.to_dict()) - names
    write_sweep("peft.json", __file__, __doc__, make_batch("bert", lengths=LENGTHS), {name: (FILLS, *rest) for name, rest in CLASSES.items()}, written, changed, start)


def written(config):
    with tempfile.TemporaryDirectory() as folder:
        copy.deepcopy(config).save_pretrained(folder)
        path = Path(folder) / "adapter_config.json"
        sort_sets(path)
        return json.loads(path.read_text())


def changed(config, field, value):
    """As a folder says it: read back by PEFT."""
    with tempfile.TemporaryDirectory() as folder:
        copy.deepcopy(config).save_pretrained(folder)
        path = Path(folder) / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
        read = PeftConfig.from_pretrained(folder)
    read.inference_mode = value if field == "inference_mode" else False
    return read


def start(config, fills):
    torch.manual_seed(5)
    base = AutoModelForSequenceClassification.from_pretrained(str(GOLDEN / "encoders" / "bert"), attn_implementation="eager", num_labels=3)
    base.config._name_or_path = base.name_or_path = "multigraft-tiny-bert"
    with torch.no_grad():
        for name, parameter in base.classifier.named_parameters():
            parameter.copy_(fill(f"base_model.model.classifier.{name}", parameter.shape, fills))
    model = get_peft_model(base, copy.deepcopy(config))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        fresh = load_file(Path(folder) / "adapter_model.safetensors")
    filled = {key: fill(key, value.shape, fills).to(value.dtype) for key, value in fresh.items()}
    result = set_peft_model_state_dict(model, filled)
    assert not result.unexpected_keys, result.unexpected_keys
    return model, {}, filled


if __name__ == "__main__":
    main()
