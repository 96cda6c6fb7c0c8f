"""Golden values of tiny random encoders whose attention knows how far tokens lie apart (`transformers`): MPNet, DeBERTa-v2.

Writes test/golden/encoders/<variant>/{config.json,model.safetensors,cases.json}, in the form of encoders.py, and the buckets of
all distances up to 600 to test/golden/encoders/distances.json. A LoRA adapter of `peft` on MPNet lies in test/golden/peft/
(relative.json): in the form of peft_others.py.

    python tools/golden/relative.py
"""

import torch
from peft import LoraConfig
from transformers import AutoModel
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from common import SEED, batch_json, make_batch, provenance, randomise, tiny_config, write_json
from encoders import ROOT, run_case, save
from peft_lora import ROOT as PEFT, write_adapter

# The longest row that each takes.
LONGEST = {"mpnet": 200, "deberta-v2": 40, "deberta-v2-xlarge": 40, "deberta-v2-plain": 40, "deberta-v2-absolute": 40}


def main():
    for index, (variant, longest) in enumerate(LONGEST.items()):
        seed = SEED + 200 + index
        model = randomise(AutoModel.from_config(tiny_config(variant), attn_implementation="eager"), seed).eval()
        folder = ROOT / variant
        folder.mkdir(parents=True, exist_ok=True)
        save(model, folder)
        cases = {
            "batch": run_case(model, make_batch(variant), full=True),
            "longest": run_case(model, make_batch(variant, lengths=[longest], seed=SEED + 1)),
            "oneToken": run_case(model, make_batch(variant, lengths=[2, 1], seed=SEED + 2)),
        }
        write_json(folder / "cases.json", {"provenance": provenance("relative.py", seed), "family": variant, "cases": cases})
    distances = torch.arange(-600, 601)
    write_json(ROOT / "distances.json", {
        "provenance": provenance("relative.py"),
        "mpnet": MPNetEncoder.relative_position_bucket(distances).tolist(),
        "deberta": {
            f"{buckets},{farthest}": make_log_bucket_position(distances, buckets, farthest).long().tolist()
            for buckets, farthest in [(256, 512), (16, 40), (12, 30), (2, 9), (32, 2048), (7, 100)]
        },
    })
    write_adapters()


def write_adapters():
    cases = {
        "lora-mpnet": ("mpnet", True, LoraConfig(r=3, lora_alpha=6, target_modules=["q", "k", "v", "o", "output.dense"], task_type="SEQ_CLS")),
    }
    out, batches = {}, {family: make_batch(family) for family, *_ in cases.values()}
    for index, (variant, (family, classifier, config)) in enumerate(cases.items()):
        out[variant] = {"encoder": family, **write_adapter(variant, classifier, config, True, batches[family], SEED + 23 * index, family)}
    write_json(PEFT / "relative.json", {
        "provenance": provenance("relative.py"),
        "note": "Base weights: encoders/<encoder>. The head is that of transformers' sequence classification of the family.",
        "batches": {family: batch_json(batch) for family, batch in batches.items()},
        "variants": out,
    })


if __name__ == "__main__":
    main()
