"""Golden values of SHiRA in `peft`: y = (W + dW) x + b, dW zero but for r (in + out) entries at indices that the file holds.

    python tools/golden/peft_shira.py
"""

from peft import ShiraConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("shira", {
        "plain": ("bert", True, ShiraConfig(r=2, **QV, **HEAD)),
        "seed": ("bert", True, ShiraConfig(r=3, random_seed=11, target_modules=["attention.output.dense", "intermediate.dense"], **HEAD)),
        "bare": ("bert", False, ShiraConfig(r=1, random_seed=5, target_modules=["key", "layer.1.output.dense"])),
        "roberta": ("roberta", True, ShiraConfig(r=2, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, ShiraConfig(r=4, random_seed=2**40 + 5, target_modules=["q_lin", "lin1"], **HEAD)),
        "albert": ("albert", True, ShiraConfig(r=2, target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "plain": ("bert", ShiraConfig(r=2, **QV, **HEAD)),
        "seed": ("roberta", ShiraConfig(r=3, random_seed=7, target_modules=["query", "output.dense"], **HEAD)),
    }, {"shira": ShiraConfig(**QV)}, seed=606)


if __name__ == "__main__":
    main()
