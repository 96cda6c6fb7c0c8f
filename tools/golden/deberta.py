"""Golden values of adapters on the tiny DeBERTa-v2 by Python's `adapters`: what goes through the matrices that distances go through too.

Writes test/golden/methods/deberta.json and its folders, and trajectories/deberta/, in the form of methods.py and trajectories.py.

    python tools/golden/deberta.py
"""

from adapters import DoRAConfig, DoubleSeqBnConfig, IA3Config, LoRAConfig, ParBnConfig, PrefixTuningConfig, SeqBnConfig, SeqBnInvConfig

import methods
import trajectories
from common import make_batch

QKV = ["q", "k", "v"]


def main():
    cases = {
        "seq_bn": SeqBnConfig(reduction_factor=8),
        "double_seq_bn": DoubleSeqBnConfig(reduction_factor=8),
        "par_bn": ParBnConfig(reduction_factor=8),
        "seq_bn_inv": SeqBnInvConfig(reduction_factor=8),
        "lora": LoRAConfig(r=3, alpha=6, attn_matrices=QKV, intermediate_lora=True, output_lora=True),
        "ia3": IA3Config(attn_matrices=QKV, output_lora=True),
        "dora": DoRAConfig(r=3, alpha=6, attn_matrices=QKV),
        "prefix_tuning": PrefixTuningConfig(prefix_length=3, bottleneck_size=8),
    }
    out = {}
    for family in ["deberta-v2", "deberta-v2-xlarge"]:
        for name, config in cases.items():
            if name == "seq_bn_inv" and family == "deberta-v2-xlarge":
                continue  # It fills padded embeddings, which Python's convolution reads: a row there depends on its padding.
            variant = f"{name}-{family}"
            out[variant] = methods.write_variant(variant, family, config)
    methods.write_cases(
        "deberta.json", out, reference=["lora-deberta-v2"], generator="deberta.py", families=["deberta-v2", "deberta-v2-xlarge"],
    )
    trajectories.write({name: ("deberta-v2", cases[name]) for name in ["seq_bn", "lora"]}, "deberta/", generator="deberta.py")


if __name__ == "__main__":
    main()
