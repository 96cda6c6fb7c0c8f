"""Golden values of whole modules that train beside another method of `peft`: `modules_to_save` beyond the head.

    python tools/golden/peft_saved.py
"""

from peft import LNTuningConfig, LoraConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(r=4, lora_alpha=8, target_modules=["query", "value"])


def main():
    write_group("saved", {
        "pooled": ("bert", True, LoraConfig(modules_to_save=["classifier", "pooler"], **QV, **HEAD)),
        "parts": ("bert", True, LoraConfig(modules_to_save=["classifier", "layer.2.output", "embeddings.LayerNorm", "key"], **QV, **HEAD)),
        "bare": ("bert", False, LoraConfig(modules_to_save=["pooler.dense", "layer.1.intermediate"], **QV)),
        "norms": ("bert", True, LNTuningConfig(target_modules=["attention.output.LayerNorm"], modules_to_save=["classifier", "pooler"], **HEAD)),
        "roberta": ("roberta", True, LoraConfig(modules_to_save=["classifier", "LayerNorm"], **QV, **HEAD)),
        "distilbert": ("distilbert", True, LoraConfig(r=4, target_modules=["q_lin"], modules_to_save=["pre_classifier", "classifier", "sa_layer_norm", "lin2"], **HEAD)),
        "albert": ("albert", True, LoraConfig(modules_to_save=["classifier", "pooler", "embedding_hidden_mapping_in"], **QV, **HEAD)),
    }, {
        "pooled": ("bert", LoraConfig(modules_to_save=["classifier", "pooler"], **QV, **HEAD)),
        # Not keys: the gradient of their bias is zero but for rounding, which AdamW makes steps of.
        "parts": ("bert", LoraConfig(modules_to_save=["classifier", "layer.2.output.dense", "layer.1.intermediate"], **QV, **HEAD)),
    }, {
        "lora|modules_to_save[modules=['LayerNorm', 'key']]": LoraConfig(r=8, target_modules=["query", "value"], modules_to_save=["LayerNorm", "key"]),
    }, seed=707)


if __name__ == "__main__":
    main()
