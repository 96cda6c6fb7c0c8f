"""Golden values of MiSS in `peft`: y = W x + b + D^T sum_k x_k over shards x_k of x; "mini" repeats a narrower D, "bat" multiplies W's blocks.

    python tools/golden/peft_miss.py
"""

from peft import MissConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("miss", {
        "plain": ("bert", True, MissConfig(r=4, **QV, **HEAD)),
        "uneven": ("bert", True, MissConfig(r=5, target_modules=["attention.output.dense", "intermediate.dense"], **HEAD)),
        "mini": ("bert", False, MissConfig(r=6, mini_r=4, init_weights="mini", target_modules=["key", "output.dense"])),
        "bat": ("bert", True, MissConfig(r=4, init_weights="bat", target_modules=["query", "intermediate.dense", "output.dense"], **HEAD)),
        "random": ("bert", True, MissConfig(r=3, init_weights=False, **QV, **HEAD)),
        "roberta": ("roberta", True, MissConfig(r=8, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, MissConfig(r=8, init_weights="bat", target_modules=["q_lin", "lin1"], **HEAD)),
        "albert": ("albert", True, MissConfig(r=8, mini_r=2, init_weights="mini", target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "plain": ("bert", MissConfig(r=4, **QV, **HEAD)),
        "mini": ("bert", MissConfig(r=5, mini_r=4, init_weights="mini", **QV, **HEAD)),
        "bat": ("roberta", MissConfig(r=4, init_weights="bat", target_modules=["query", "output.dense"], **HEAD)),
    }, {
        "miss": MissConfig(**QV),
        "miss[r=16, init_weights='bat', linears='all-linear']": MissConfig(r=16, init_weights="bat", target_modules="all-linear"),
        "miss[r=16, mini_r=8, init_weights='mini']": MissConfig(r=16, mini_r=8, init_weights="mini", **QV),
    }, seed=505)


if __name__ == "__main__":
    main()
