"""Golden values of LoKr in `peft`: y = W x + b + (alpha / r) (w1 kron w2) x, w2 and with decompose_both w1 as products of low rank.

    python tools/golden/peft_lokr.py
"""

from peft import LoKrConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("lokr", {
        "plain": ("bert", True, LoKrConfig(r=3, alpha=6, **QV, **HEAD)),
        "whole": ("bert", True, LoKrConfig(r=8, alpha=4, target_modules=["attention.output.dense", "intermediate.dense"], **HEAD)),
        "both": ("bert", True, LoKrConfig(r=2, alpha=3, decompose_both=True, target_modules=["output.dense"], **HEAD)),
        "factor": ("bert", False, LoKrConfig(r=2, alpha=2, decompose_factor=2, target_modules=["key", "intermediate.dense"])),
        "indivisible": ("bert", True, LoKrConfig(r=2, alpha=2, decompose_factor=7, decompose_both=True, target_modules=["key", "output.dense"], **HEAD)),
        "patterns": ("bert", True, LoKrConfig(r=2, alpha=6, rank_pattern={"layer.1.attention.self.query": 3}, alpha_pattern={"value": 5}, init_weights="lycoris", **QV, **HEAD)),
        "roberta": ("roberta", True, LoKrConfig(r=3, alpha=4, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, LoKrConfig(r=3, alpha=4, target_modules=["q_lin", "lin1"], use_effective_conv2d=True, **HEAD)),
        "albert": ("albert", True, LoKrConfig(r=3, alpha=4, target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "plain": ("bert", LoKrConfig(r=3, alpha=6, **QV, **HEAD)),
        "both": ("roberta", LoKrConfig(r=2, alpha=6, decompose_both=True, target_modules=["query", "output.dense"], **HEAD)),
    }, {
        "lokr": LoKrConfig(**QV),
        "lokr[r=4, decompose_both=True, linears='all-linear']": LoKrConfig(r=4, decompose_both=True, target_modules="all-linear"),
        "lokr[r=4, decompose_factor=100]": LoKrConfig(r=4, decompose_factor=100, **QV),
    }, seed=202)


if __name__ == "__main__":
    main()
