"""How `adapters` reads configuration strings, and the hashes of configurations.

Writes test/golden/config-strings.json: "strings", each with the configuration that Python makes of it or the class of its error, and
"hashes": configurations with random settings of every class, with get_adapter_config_hash of each as it would be read from a file.

    python tools/golden/config_strings.py
"""

import json
import logging
import random

from adapters import AdapterConfig, AdapterPlusConfig, BnConfig, ConfigUnion, LoRAConfig, MTLLoRAConfig, PrefixTuningConfig, PromptTuningConfig
from adapters.utils import get_adapter_config_hash

from common import GOLDEN, SEED, provenance, write_json

logging.getLogger("adapters").setLevel(logging.ERROR)

STRINGS = [
    "seq_bn", "pfeiffer+inv", "lora[]", "lora[r=4]", " lora[r=4] ", "lora [r=4]", "lora[ r=4 , alpha=2 ]", "lora[r=4,]", "lora[,]", "lora[r =4]",
    "lora[r= 4]", "lora['r': 4]", "lora[r=4, r=2]", "lora[r=4", "lora r=4]", "lora[r]", "lora[4]", "lora[rank=4]", "Lora", "nothing", "",
    "lora[dropout=1e-3]", "lora[dropout=.5]", "lora[dropout=1E-1]", "lora[alpha=1_0]", "lora[r=0x10]", "lora[r=+4]", "lora[alpha=4.5]",
    "lora[leave_out=[0, 1,]]", "lora[leave_out=(0, 2)]", "lora[leave_out=(1,)]", "lora[leave_out=[]]", "lora[use_gating=True]", "lora[use_gating=true]",
    "lora[attn_matrices=['q','k','v']]", "lora[attn_matrices=['q' 'k']]", 'lora[attn_matrices=["q", "v"]]', "lora[use_dora=True]",
    "lora[use_dora=True, r=2]|seq_bn", "lora[vera_d=0.1, vera_b=0.0]", "lora[vera_d=0.1, vera_b=0.0, init_weights='vera']",
    "lora[composition_mode='scale', r=1]", "lora[composition_mode='scale', r=1, alpha=1, init_weights='ia3']", "dora[use_dora=False]",
    "vera[use_dora=True]", "ia3[composition_mode='add', init_weights='lora']", "seq_bn[inv_adapter='nice', inv_adapter_reduction_factor=2]",
    "seq_bn_inv[inv_adapter=None]", "double_seq_bn[phm_layer=True]", "seq_bn[reduction_factor={'1': 8, 'default': 16}]",
    'seq_bn[reduction_factor={"default": 2.5}]', "seq_bn[non_linearity='gelu', scaling=0.5]", "seq_bn[scaling='learned']",
    "seq_bn[residual_before_ln='post_add']", "par_bn[use_gating=True, leave_out=[0]]", "prompt_tuning[prompt_init='from_string', prompt_init_text='a b']",
    r"prompt_tuning[prompt_init_text='it\'s']", r"prompt_tuning[prompt_init_text='tab\there']", r"prompt_tuning[prompt_init_text='\x41\u00e9']",
    r"prompt_tuning[prompt_init_text=r'a\n']", 'prompt_tuning[prompt_init_text="it\'s"]', "prompt_tuning[prompt_init_text='a' 'b']",
    "prompt_tuning[prompt_init_text='a|b']", "prompt_tuning[prompt_init_text='[a]']", "prompt_tuning[prompt_init_text='a, b']",
    "prompt_tuning[prompt_init_text=('a')]", "prefix_tuning[flat=True]|par_bn", "prefix_tuning[bottleneck_size=800]|par_bn", "lora|lora", "seq_bn|",
    "|seq_bn", "seq_bn | lora[r=4]", "mam", "mam[leave_out=[0]]", "unipelt", "unipelt[leave_out=[1]]", "unipelt[r=4]", "mam|lora", "mtl_lora[r=2]",
    "lora[dtype='float16']", "lora[r=None]", "lora[leave_out={'a': [1]}]",
]

CHOICES = {
    "mh_adapter": [True, False], "output_adapter": [True], "reduction_factor": [2, 16, 0.5, {"1": 8, "default": 16}], "non_linearity": ["relu", "gelu", "swish"],
    "original_ln_before": [True], "original_ln_after": [True, False], "ln_before": [True, False], "ln_after": [True, False],
    "residual_before_ln": [True, False, "post_add"], "adapter_residual_before_ln": [True, False], "init_weights": ["bert", "mam_adapter", "houlsby"],
    "init_weights_seed": [None, 0, 7], "is_parallel": [True, False], "scaling": [1.0, 0.5, 4.0, "learned", "channel"], "use_gating": [True, False],
    "leave_out": [[], [0], [1, 2]], "dropout": [0.0, 0.1], "stochastic_depth": [0.0, 0.2], "phm_dim": [4, 2], "phm_init_range": [0.0001, 0.01],
}
LORA = {
    "intermediate_lora": [True, False], "output_lora": [True, False], "leave_out": [[], [1]], "r": [1, 8], "alpha": [1, 16], "dropout": [0.0, 0.25],
    "attn_matrices": [["q"], ["q", "v"], ["k"]], "init_weights": ["lora", "bert"], "init_weights_seed": [None, 0, 3], "use_gating": [True, False],
    "use_dora": [True, False],
}
PREFIX = {
    "leave_out": [[], [2]], "flat": [True, False], "prefix_length": [1, 30], "bottleneck_size": [8, 512], "non_linearity": ["tanh", "relu"],
    "dropout": [0.0, 0.5], "use_gating": [True, False], "shared_gating": [True, False], "init_weights_seed": [None, 0, 9],
}
PROMPT = {
    "prompt_length": [1, 10], "prompt_init": ["random_uniform", "from_string"], "prompt_init_text": [None, "", "is it good?", "schön"],
    "combine": ["prefix", "prefix_after_bos"],
}


def read(text):
    try:
        config = AdapterConfig.load(text)
    except Exception as error:  # noqa: BLE001
        return {"text": text, "error": type(error).__name__}
    if config is None:
        return {"text": text, "error": "None"}
    return {"text": text, "config": json.loads(json.dumps(config.to_dict())), "hash": get_adapter_config_hash(config)}


def drawn():
    draw = random.Random(SEED)
    pick = lambda choices: {key: draw.choice(values) for key, values in choices.items() if draw.random() < 0.6}  # noqa: E731
    bottleneck = lambda: BnConfig(**{"mh_adapter": False, "output_adapter": True, "reduction_factor": 16, "non_linearity": "relu", "original_ln_before": True, **pick(CHOICES)})  # noqa: E731
    out = [bottleneck() for _ in range(16)] + [LoRAConfig(**pick(LORA)) for _ in range(10)]
    out += [PrefixTuningConfig(**pick(PREFIX)) for _ in range(6)] + [PromptTuningConfig(**pick(PROMPT)) for _ in range(6)]
    out += [MTLLoRAConfig(r=4, n_up_projection=2, weights_sharpness=value) for value in [0.05, 1.0]] + [AdapterPlusConfig()]
    return out + [ConfigUnion(PrefixTuningConfig(**pick(PREFIX)), bottleneck(), LoRAConfig(**pick(LORA))) for _ in range(4)]


def main():
    hashes = []
    for config in drawn():
        as_read = AdapterConfig.load(json.loads(json.dumps(config.to_dict())))
        assert get_adapter_config_hash(as_read) == get_adapter_config_hash(config)
        hashes.append({"config": config.to_dict(), "hash": get_adapter_config_hash(config)})
    write_json(GOLDEN / "config-strings.json", {"provenance": provenance("config_strings.py"), "strings": [read(text) for text in STRINGS], "hashes": hashes})


if __name__ == "__main__":
    main()
