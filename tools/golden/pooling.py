"""Heads that read all tokens of a sequence: trajectories as in trajectories.py, their vectors by sentence-transformers' Pooling.

Writes test/golden/trajectories/<method>-<pooling>.json; they start from the parameters of <method>.

    python tools/golden/pooling.py      # after trajectories.py
"""

import sentence_transformers
from adapters import LoRAConfig, SeqBnConfig
from sentence_transformers.models import Pooling

import trajectories
from common import SHAPE


class Pool:
    def __init__(self, ours, theirs):
        self.ours = ours
        self.module = Pooling(SHAPE["hidden_size"], pooling_mode=theirs)

    def __call__(self, tokens, mask):
        # It writes into what it is given.
        return self.module({"token_embeddings": tokens.clone(), "attention_mask": mask})["sentence_embedding"]


VARIANTS = {
    "seq_bn-mean": ("bert", SeqBnConfig(reduction_factor=8)),
    "full-max": ("bert", None),
    "lora-mean_sqrt_len": ("bert", LoRAConfig(r=4, alpha=8)),
}
POOLS = {"seq_bn-mean": Pool("mean", "mean"), "full-max": Pool("max", "max"), "lora-mean_sqrt_len": Pool("mean_sqrt_len", "mean_sqrt_len_tokens")}
SAME_START = {name: name.split("-")[0] for name in VARIANTS}

if __name__ == "__main__":
    trajectories.write(
        VARIANTS, generator="pooling.py", same_start=SAME_START, pooling=POOLS, sentence_transformers=sentence_transformers.__version__
    )
