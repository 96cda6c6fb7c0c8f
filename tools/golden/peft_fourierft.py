"""Golden values of FourierFT in `peft`: y = W x + b + scaling Re(ifft2(S)) x, S zero but for n_frequency entries that the seed draws.

    python tools/golden/peft_fourierft.py
"""

from peft import FourierFTConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("fourierft", {
        "plain": ("bert", True, FourierFTConfig(n_frequency=60, **QV, **HEAD)),
        "seed": ("bert", True, FourierFTConfig(n_frequency=40, scaling=90.5, random_loc_seed=11, target_modules=["attention.output.dense", "intermediate.dense"], **HEAD)),
        "all": ("bert", False, FourierFTConfig(n_frequency=1024, scaling=40, init_weights=True, target_modules=["key"])),
        "patterns": ("bert", True, FourierFTConfig(n_frequency=30, n_frequency_pattern={"layer.1.attention.self.query": 20, "value": 50}, **QV, **HEAD)),
        "roberta": ("roberta", True, FourierFTConfig(n_frequency=70, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, FourierFTConfig(n_frequency=50, random_loc_seed=0, target_modules=["q_lin", "lin1"], **HEAD)),
        "albert": ("albert", True, FourierFTConfig(n_frequency=40, target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "plain": ("bert", FourierFTConfig(n_frequency=60, **QV, **HEAD)),
        "seed": ("roberta", FourierFTConfig(n_frequency=40, random_loc_seed=5, target_modules=["query", "intermediate.dense"], **HEAD)),
    }, {"fourierft": FourierFTConfig(**QV), "fourierft[n_frequency=300, linears='all-linear']": FourierFTConfig(n_frequency=300, target_modules="all-linear")}, seed=707)


if __name__ == "__main__":
    main()
