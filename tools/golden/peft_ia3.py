"""Golden values of (IA)3 in `peft`: y = l (W x + b), and y = W (l x) + b at feedforward_modules.

    python tools/golden/peft_ia3.py
"""

from peft import IA3Config

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
FULL = dict(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"])


def main():
    write_group("ia3", {
        "plain": ("bert", True, IA3Config(**HEAD)),
        "outputs": ("bert", True, IA3Config(target_modules=["query", "key", "value"], feedforward_modules=[], **HEAD)),
        "mixed": ("bert", False, IA3Config(target_modules=["value", "intermediate.dense", "layer.1.intermediate.dense", "output.dense", "attention.output.dense"], feedforward_modules=["layer.1.intermediate.dense", "attention.output.dense"])),
        "roberta": ("roberta", True, IA3Config(**FULL, **HEAD)),
        "distilbert": ("distilbert", True, IA3Config(target_modules=["k_lin", "lin1", "lin2"], feedforward_modules=["lin2"], **HEAD)),
        "albert": ("albert", True, IA3Config(target_modules=["key", "ffn", "embedding_hidden_mapping_in"], feedforward_modules=["ffn"], **HEAD)),
    }, {
        "plain": ("bert", IA3Config(**HEAD)),
        "intermediate": ("roberta", IA3Config(target_modules=["value", "intermediate.dense"], feedforward_modules=["intermediate.dense"], **HEAD)),
    }, {
        "ia3_peft": IA3Config(**FULL),
    }, seed=809)


if __name__ == "__main__":
    main()
