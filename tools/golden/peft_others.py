"""Golden values of `peft` adapters that are not plain LoRA: LayerNorm tuning, DoRA and (IA)3.

Writes test/golden/peft/<variant>/ in the layout of peft_lora.py, and test/golden/peft/others.json.

- LayerNorm tuning: each targeted norm is replaced by a trained copy, gain and bias. PEFT knows no default targets for any
  encoder ("withoutDefaults" lists the types that were tried), so target_modules is always in the file.
- DoRA: y = (m / |W + s B A|) (W x + s B A x) + bias, rows of the norm over inputs, s = lora_alpha / r, the norm constant in
  the gradient. `adapters` differs: its norm is that of W + B A, and its bias stands inside the product.
- (IA)3: y = l (W x + bias) at key and value, l of shape (out, 1); at feedforward_modules y = W (l x) + bias, the input is
  scaled, l of shape (1, in). Its default feedforward_modules "output.dense" is attention.output.dense too.

    python tools/golden/peft_others.py
"""

from peft import IA3Config, LNTuningConfig, LoraConfig, get_peft_model
from transformers import AutoModel

from common import GOLDEN, SEED, batch_json, make_batch, provenance, write_json
from peft_lora import ROOT, write_adapter


def main():
    head = dict(task_type="SEQ_CLS")
    cases = {
        "ln-all": ("bert", True, LNTuningConfig(target_modules=["LayerNorm"], **head), True),
        "ln-bin": ("bert", True, LNTuningConfig(target_modules=["LayerNorm"], **head), False),
        "ln-attention": ("bert", True, LNTuningConfig(target_modules=["attention.output.LayerNorm"], **head), True),
        "ln-regex": ("bert", True, LNTuningConfig(target_modules=r".*encoder\.layer\.[02]\.output\.LayerNorm", **head), True),
        "ln-bare": ("bert", False, LNTuningConfig(target_modules=["LayerNorm"], exclude_modules=["embeddings.LayerNorm"]), True),
        "ln-roberta": ("roberta", True, LNTuningConfig(target_modules=["LayerNorm"], **head), True),
        "ln-distilbert": ("distilbert", True, LNTuningConfig(target_modules=["sa_layer_norm", "output_layer_norm"], **head), True),
        "ln-albert": ("albert", True, LNTuningConfig(target_modules=["LayerNorm", "full_layer_layer_norm"], **head), True),
        "dora": ("bert", True, LoraConfig(r=4, lora_alpha=8, use_dora=True, **head), True),
        "dora-feed-forward": ("bert", True, LoraConfig(r=3, lora_alpha=9, use_dora=True, target_modules=r".*layer\.\d+\.(intermediate|output)\.dense", **head), True),
        "ia3": ("bert", True, IA3Config(**head), True),
        "ia3-attention": ("bert", True, IA3Config(target_modules=["query", "key", "value"], feedforward_modules=[], **head), True),
    }
    batches = {family: make_batch(family) for family in ["bert", "roberta", "distilbert", "albert"]}
    out = {}
    for index, (variant, (family, classifier, config, safe)) in enumerate(cases.items()):
        out[variant] = {"encoder": family, **write_adapter(variant, classifier, config, safe, batches[family], SEED + 19 * index, family)}
    write_json(ROOT / "others.json", {
        "provenance": provenance("peft_others.py"),
        "note": "Base weights: encoders/<encoder>. The head is that of transformers' sequence classification of the family, saved with the "
        "adapter; bert: pooled output -> Linear(3).",
        "withoutDefaults": without_defaults(),
        "batches": {family: batch_json(batch) for family, batch in batches.items()},
        "variants": out,
    })


def without_defaults():
    out = []
    for family in ["bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert", "modernbert"]:
        model = AutoModel.from_pretrained(str(GOLDEN / "encoders" / family))
        try:
            get_peft_model(model, LNTuningConfig())
        except ValueError:
            out.append(family)
    return out


if __name__ == "__main__":
    main()
