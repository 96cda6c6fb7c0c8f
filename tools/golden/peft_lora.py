"""Golden values of LoRA adapters saved by `peft` on the tiny BERT.

Writes test/golden/peft/<variant>/{adapter_config.json,adapter_model.safetensors | adapter_model.bin} and
test/golden/peft/peft.json.

    python tools/golden/peft_lora.py
"""

import json
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification

from common import GOLDEN, SEED, batch_json, digest, make_batch, numbers, provenance, relative, write_json

ROOT = GOLDEN / "peft"
TARGETS = ["query", "value", "attention.output.dense"]


def main():
    batch = make_batch("bert")
    cases = {
        "lora-attention-output": (True, dict(r=4, lora_alpha=8, target_modules=TARGETS, task_type="SEQ_CLS"), True),
        "lora-bin": (True, dict(r=4, lora_alpha=8, target_modules=TARGETS, task_type="SEQ_CLS"), False),
        "lora-all-linears": (True, dict(r=3, lora_alpha=9, target_modules=["query", "key", "value", "dense"], exclude_modules=["pooler.dense"], task_type="SEQ_CLS"), True),
        "lora-regex": (True, dict(r=4, lora_alpha=2, target_modules=r".*encoder\.layer\.[02]\.output\.dense", task_type="SEQ_CLS"), True),
        "lora-bare": (False, dict(r=4, lora_alpha=8, target_modules=TARGETS), True),
        "lora-rslora": (False, dict(r=4, lora_alpha=8, target_modules=["query", "value"], use_rslora=True), True),
        "lora-patterns": (False, dict(r=4, lora_alpha=8, target_modules=["query", "value"], rank_pattern={"layer.1.attention.self.query": 2}, alpha_pattern={"layer.2.attention.self.value": 5}), True),
        "lora-layers": (False, dict(r=4, lora_alpha=8, target_modules=["query", "value"], layers_to_transform=[0, 2], layers_pattern="layer"), True),
        "lora-bias": (False, dict(r=4, lora_alpha=8, target_modules=["query", "value"], bias="lora_only"), True),
    }
    wide = {
        "lora-all-linear": ("bert", dict(r=4, lora_alpha=8, target_modules="all-linear", task_type="SEQ_CLS"), True),
        "lora-regex-patterns": ("bert", dict(r=4, lora_alpha=8, target_modules=["query", "pooler.dense"], use_rslora=True, rank_pattern={r"layer\.[01]\..*query": 2}, alpha_pattern={r".*layer\.(0|2)\.attention.*": 5, "dense": 3}), False),
        "lora-electra": ("electra", dict(r=4, lora_alpha=6, target_modules=["embeddings_project", "key"]), False),
        "lora-modernbert": ("modernbert", dict(r=4, lora_alpha=6, target_modules="all-linear", rank_pattern={"Wi": 3}), False),
    }
    batches = {family: make_batch(family) for family in ["bert", "electra", "modernbert"]}
    write_json(ROOT / "lora-any-linear.json", {
        "provenance": provenance("peft_lora.py"),
        "note": "As peft.json, of the encoder that a variant names. Of ModernBERT and ELECTRA the last hidden state is compared.",
        "batches": {family: batch_json(batch) for family, batch in batches.items()},
        "variants": {
            variant: {"encoder": family, **write_adapter(variant, classifier, LoraConfig(**options), True, batches[family], SEED + 23 * index, family)}
            for index, (variant, (family, options, classifier)) in enumerate(wide.items())
        },
    })
    out = {}
    for index, (variant, (classifier, options, safe)) in enumerate(cases.items()):
        out[variant] = write_adapter(variant, classifier, LoraConfig(**options), safe, batch, SEED + 17 * index)
    write_json(ROOT / "peft.json", {
        "provenance": provenance("peft_lora.py"),
        "note": "Base weights: encoders/bert. classifier: pooled output -> Linear(3), saved with the adapter under base_model.model.classifier.",
        **batch_json(batch),
        "variants": out,
    })


def write_adapter(variant, classifier, options, safe, batch, seed, family="bert"):
    torch.manual_seed(seed)
    path = str(GOLDEN / "encoders" / family)
    if classifier:
        base = AutoModelForSequenceClassification.from_pretrained(path, attn_implementation="eager", num_labels=3)
    else:
        base = AutoModel.from_pretrained(path, attn_implementation="eager")
    base.config._name_or_path = base.name_or_path = f"multigraft-tiny-{family}"
    model = get_peft_model(base, options)
    for config in model.peft_config.values():
        config.base_model_name_or_path = f"multigraft-tiny-{family}"
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(centre(name) + 0.3 * torch.randn(parameter.shape, generator=generator))
    folder = ROOT / variant
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(str(folder), safe_serialization=safe)
    # The card is the library's template, not ours.
    (folder / "README.md").unlink(missing_ok=True)
    sort_sets(folder / "adapter_config.json")
    if safe:
        keys = {k: list(v.shape) for k, v in load_file(folder / "adapter_model.safetensors").items()}
    else:
        keys = {k: list(v.shape) for k, v in torch.load(folder / "adapter_model.bin", weights_only=True).items()}
    model.eval()
    with torch.no_grad():
        single = model(**batch, output_hidden_states=True)
        double = model.double()(**batch, output_hidden_states=True)
    poolless = family in ["electra", "modernbert"]
    pick = (lambda o: o.logits) if classifier else (lambda o: o.last_hidden_state.reshape(-1)) if poolless else (lambda o: o.pooler_output)
    part = "logits" if classifier else "last" if poolless else "pooled"
    return {
        "folder": f"peft/{variant}",
        **({"encoder": family} if family != "bert" else {}),
        "keys": keys,
        part: numbers(pick(single)),
        # transformers' ModernBERT has no finite numbers in double precision.
        **({f"{part}64": numbers(pick(double))} if not poolless else {}),
        "lastHiddenState": digest(single.hidden_states[-1]),
        **({"float32AgainstFloat64": relative(pick(single), pick(double))} if not poolless else {}),
    }


def centre(name):
    """Gains and scales lie about 1, DoRA's magnitudes about 1.5."""
    if name.endswith("ln_tuning_layers.default.weight") or ".ia3_l." in name:
        return 1.0
    return 1.5 if ".lora_magnitude_vector." in name else 0.0


def sort_sets(path):
    """Sets of module names are written in hash order: sorted here, so that a second run gives the same file."""
    config = json.loads(path.read_text())
    for key in ["target_modules", "exclude_modules", "modules_to_save", "feedforward_modules"]:
        if isinstance(config.get(key), list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
