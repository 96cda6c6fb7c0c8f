"""Golden values of OFT in `peft`: y = W (R x) + b, R block by block from skew-symmetric Q: (I - Q)(I + Q)^-1, or the first terms of its series.

    python tools/golden/peft_oft.py
"""

from peft import OFTConfig

from peft_linears import write_group

HEAD = dict(task_type="SEQ_CLS")
QV = dict(target_modules=["query", "value"])


def main():
    write_group("oft", {
        "plain": ("bert", True, OFTConfig(oft_block_size=8, **QV, **HEAD)),
        "blocks": ("bert", True, OFTConfig(r=4, oft_block_size=0, target_modules=["attention.output.dense", "output.dense"], **HEAD)),
        "share": ("bert", True, OFTConfig(oft_block_size=4, block_share=True, target_modules=["intermediate.dense", "key"], **HEAD)),
        "cayley": ("bert", True, OFTConfig(oft_block_size=16, use_cayley_neumann=False, **QV, **HEAD)),
        "terms-2": ("bert", False, OFTConfig(oft_block_size=4, num_cayley_neumann_terms=2, **QV)),
        "terms-3": ("bert", False, OFTConfig(oft_block_size=4, num_cayley_neumann_terms=3, **QV)),
        "terms-7": ("bert", False, OFTConfig(oft_block_size=2, num_cayley_neumann_terms=7, **QV)),
        "indivisible": ("bert", True, OFTConfig(oft_block_size=12, target_modules=["key", "output.dense"], **HEAD)),
        "roberta": ("roberta", True, OFTConfig(oft_block_size=8, module_dropout=0.5, target_modules="all-linear", **HEAD)),
        "distilbert": ("distilbert", True, OFTConfig(r=5, oft_block_size=0, target_modules=["q_lin", "lin2"], **HEAD)),
        "albert": ("albert", True, OFTConfig(oft_block_size=8, target_modules=["query", "ffn", "embedding_hidden_mapping_in"], **HEAD)),
    }, {
        "plain": ("bert", OFTConfig(oft_block_size=8, **QV, **HEAD)),
        "cayley": ("roberta", OFTConfig(oft_block_size=4, use_cayley_neumann=False, block_share=True, target_modules=["query", "output.dense"], **HEAD)),
    }, {
        "oft": OFTConfig(**QV),
        "oft[block_share=True, linears='all-linear']": OFTConfig(block_share=True, target_modules="all-linear"),
        "oft[r=10, oft_block_size=0]": OFTConfig(r=10, oft_block_size=0, **QV),
    }, seed=303)


if __name__ == "__main__":
    main()
