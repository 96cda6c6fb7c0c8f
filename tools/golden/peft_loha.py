"""Golden values of LoHa in `peft`: y = W x + b + (alpha / r) ((w1_a w1_b) * (w2_a w2_b)) x, * entry by entry.

    python tools/golden/peft_loha.py
"""

from peft import LoHaConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("loha", {
        "plain": ("bert", True, LoHaConfig(r=4, alpha=6, **QV, **HEAD)),
        "wide": ("bert", True, LoHaConfig(r=7, alpha=3, target_modules=["attention.output.dense", "intermediate.dense"], **HEAD)),
        "bare": ("bert", False, LoHaConfig(r=2, alpha=2, target_modules=["key"], layers_to_transform=[0, 2], layers_pattern="layer")),
        "regex": ("bert", True, LoHaConfig(r=3, alpha=5, target_modules=r".*layer\.([02]\.output|1\.intermediate)\.dense", **HEAD)),
        "patterns": ("bert", True, LoHaConfig(r=3, alpha=6, rank_pattern={"layer.1.attention.self.query": 2}, alpha_pattern={"value": 5}, **QV, **HEAD)),
        "roberta": ("roberta", True, LoHaConfig(r=3, alpha=4, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, LoHaConfig(r=3, alpha=4, target_modules=["q_lin", "lin1"], use_effective_conv2d=True, **HEAD)),
        "albert": ("albert", True, LoHaConfig(r=3, alpha=4, target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "plain": ("bert", LoHaConfig(r=4, alpha=8, **QV, **HEAD)),
        "wide": ("roberta", LoHaConfig(r=6, alpha=6, target_modules=["query", "output.dense"], **HEAD)),
    }, {"loha": LoHaConfig(**QV), "loha[r=3, linears='all-linear']": LoHaConfig(r=3, target_modules="all-linear")}, seed=101)


if __name__ == "__main__":
    main()
