"""Golden values of RandLoRA in `peft`: y = W x + b + (alpha / r) sum_k B_k L_k A G_k x, A and B random and saved with the adapter.

    python tools/golden/peft_randlora.py
"""

from peft import RandLoraConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("randlora", {
        "plain": ("bert", True, RandLoraConfig(r=4, randlora_alpha=6, **QV, **HEAD)),
        "uneven": ("bert", True, RandLoraConfig(r=5, randlora_alpha=5, projection_prng_key=3, target_modules=["query", "intermediate.dense"], **HEAD)),
        "shapes": ("bert", False, RandLoraConfig(r=8, randlora_alpha=4, target_modules=["key", "intermediate.dense", "layer.1.output.dense"])),
        "sparse": ("bert", True, RandLoraConfig(r=4, randlora_alpha=4, sparse=True, target_modules=["layer.0.output.dense"], **HEAD)),
        "roberta": ("roberta", True, RandLoraConfig(r=6, randlora_alpha=3, very_sparse=True, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, RandLoraConfig(r=8, randlora_alpha=8, target_modules=["q_lin", "lin1"], **HEAD)),
        "albert": ("albert", True, RandLoraConfig(r=8, randlora_alpha=8, target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "plain": ("bert", RandLoraConfig(r=4, randlora_alpha=8, **QV, **HEAD)),
        "shapes": ("roberta", RandLoraConfig(r=7, randlora_alpha=7, target_modules=["query", "output.dense"], **HEAD)),
    }, {"randlora": RandLoraConfig(**QV), "randlora[r=10, linears='all-linear']": RandLoraConfig(r=10, target_modules="all-linear")}, seed=808)


if __name__ == "__main__":
    main()
