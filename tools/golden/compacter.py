"""Golden values of Compacter by Python's `adapters`: bottlenecks whose linears are sums of Kronecker products, in every form that it runs.

Writes test/golden/methods/<variant>/ and test/golden/methods/compacter.json in the form of methods.py, and
test/golden/trajectories/compacter/ in that of trajectories.py. train_adapter switches on the rule of a configuration with
learn_phm False too; here it counts as frozen, as the configuration says. Biases, which PHM layers call `b`, are not decayed.

    python tools/golden/compacter.py
"""

import logging

import torch
from adapters import BertAdapterModel, CompacterConfig, CompacterPlusPlusConfig, ParBnConfig
from transformers import BertConfig
from transformers.modeling_utils import no_init_weights

import trajectories
from common import FAMILIES
from methods import NAME, write_cases, write_variant

logging.getLogger("adapters").setLevel(logging.ERROR)


def main():
    check_counts()
    write_cases("compacter.json", {name: variant(name, *at) for name, at in variants().items()}, ["compacter", "compacter-shared-all"], "compacter.py")
    decays = trajectories.decays
    trajectories.decays = lambda name: decays(name) and not name.endswith(".b")
    trajectories.write({
        "compacter": ("bert", double()),
        "compacter-shared-all": ("roberta", double(shared_W_phm=True, factorized_phm_rule=True, phm_rank=2)),
        "compacter-apart": ("albert", plus(shared_phm_rule=False, factorized_phm_W=False, ln_before=True, scaling="channel")),
    }, "compacter/", "compacter.py")


def double(**kw):
    return CompacterConfig(**{"reduction_factor": 4, **kw})


def plus(**kw):
    return CompacterPlusPlusConfig(**{"reduction_factor": 4, **kw})


def variants():
    table = {key: ("bert", config) for key, config in {
        "compacter": double(),
        "compacter-plus-plus": plus(),
        "compacter-whole-w": double(factorized_phm_W=False),
        "compacter-shared-w": double(shared_W_phm=True),
        "compacter-shared-all": double(shared_W_phm=True, factorized_phm_rule=True),
        "compacter-shared-w-own-rule": plus(shared_W_phm=True, shared_phm_rule=False, phm_bias=False),
        "compacter-own-rule": double(shared_phm_rule=False),
        "compacter-own-rule-factorized": plus(shared_phm_rule=False, factorized_phm_rule=True, phm_c_init="uniform"),
        "compacter-rule-factorized": plus(factorized_phm_rule=True, phm_c_init="uniform"),
        "compacter-fixed-rule": double(learn_phm=False),
        "compacter-fixed-own-rule": plus(learn_phm=False, shared_phm_rule=False),
        "compacter-rank": plus(phm_rank=3),
        "compacter-dim-2": double(phm_dim=2),
        "compacter-dim-8": plus(phm_dim=8, factorized_phm_W=False),
        "compacter-no-bias": double(phm_bias=False),
        "compacter-no-bias-norm": plus(phm_bias=False, ln_before=True, ln_after=True),
        "compacter-init-range": plus(phm_init_range=0.5, hypercomplex_nonlinearity="normal"),
        "compacter-norms": double(ln_before=True, ln_after=True, adapter_residual_before_ln=True),
        "compacter-use-gating": plus(use_gating=True, scaling="learned"),
        "compacter-scaling": double(scaling=0.7, dropout=0.2),
        "compacter-channel": plus(scaling="channel", phm_bias=False),
        "compacter-parallel": ParBnConfig(phm_layer=True, reduction_factor=4, init_weights="bert"),
        "compacter-residual": plus(residual_before_ln="post_add", init_weights_seed=7),
        "compacter-leave-out": double(leave_out=[1], reduction_factor={"0": 8, "default": 4}),
    }.items()}
    for family in [*FAMILIES[1:], "albert-groups"]:
        table[f"compacter-{family}"] = (family, double())
        table[f"compacter-plus-plus-{family}"] = (family, plus(shared_W_phm=True))
    return table


def variant(name, family, config):
    out = write_variant(name, family, config)
    if config.learn_phm:
        return out
    frozen = [key for key in out["keys"] if key.rpartition(".")[2].startswith("phm_rule")]
    count = sum(torch.Size(out["keys"][key]).numel() for key in frozen)
    return {**out, "trainable": out["trainable"] - count, "frozen": frozen}


def check_counts():
    """Those of BERT-base, which the tests name."""
    with no_init_weights():
        model = BertAdapterModel(BertConfig())
    for config, count in [(CompacterConfig(), 57088), (CompacterPlusPlusConfig(), 28576)]:
        model.add_adapter(NAME, config=config)
        model.train_adapter(NAME)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count
        model.delete_adapter(NAME)


if __name__ == "__main__":
    main()
