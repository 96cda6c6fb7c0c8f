"""Golden values of ReFT by Python's `adapters`: edits of what layers give at the first and the last tokens.

Writes test/golden/methods/<variant>/ and test/golden/methods/reft.json in the form of methods.py, and
test/golden/trajectories/reft/ in that of trajectories.py. `adapters` 1.3.0 neither writes
subtract_projection nor reads it in load_adapter, so that a saved DiReFT comes back as NoReFT: it is added to every adapter_config.json. The diagonal of a parametrised
projection is 1 and -1 in turn, and base a random orthogonal matrix. A unit without a token and base (a buffer) count as frozen. Dropout
is 0 in trajectories, and no parametrised projection decays: its rows would be 0 from the second step.

    python tools/golden/reft.py
"""

import json
import logging

import torch
from adapters import BertAdapterModel, DiReftConfig, LoReftConfig, NoReftConfig
from adapters.methods.reft import ReftUnit
from transformers import BertConfig
from transformers.modeling_utils import no_init_weights

import methods
import trajectories
from common import FAMILIES
from methods import NAME, ROOT, write_cases, write_variant

logging.getLogger("adapters").setLevel(logging.ERROR)
OTHER_MODULES = methods.adapter_modules
RANDOMISE = methods.randomise_named
FORWARD = ReftUnit.forward


def main():
    methods.adapter_modules = modules
    methods.randomise_named = trajectories.randomise_named = randomise_named
    # Where a unit has no token it is given none of float32, whatever the model is in.
    ReftUnit.forward = lambda self, x: FORWARD(self, x.to(self.learned_source.weight.dtype))
    check_counts()
    write_cases("reft.json", {name: variant(name, *at) for name, at in variants().items()}, ["loreft", "direft-suffix"], "reft.py")
    decays, train = trajectories.decays, trajectories.train
    trajectories.decays = lambda name: decays(name) and not name.endswith(".original")
    trajectories.train = lambda *args: with_frozen(train, *args)
    still = dict(dropout=0.0)
    trajectories.write({
        "loreft": ("bert", LoReftConfig(r=3, suffix_positions=2, **still)),
        "noreft": ("roberta", NoReftConfig(r=2, tied_weights=True, suffix_positions=1, **still)),
        "direft": ("bert", DiReftConfig(r=2, prefix_positions=2, non_linearity="relu", **still)),
    }, "reft/", "reft.py")
    for path in (trajectories.ROOT / "reft").glob("direft.json"):
        text = path.read_text(encoding="utf-8")
        assert text.count('"orthogonality": false') == 1, text[:2000]
        path.write_text(text.replace('"orthogonality": false', '"orthogonality": false,\n  "subtract_projection": false'), encoding="utf-8")


def variants():
    table = {key: ("bert", config) for key, config in {
        "loreft": LoReftConfig(),
        "noreft": NoReftConfig(),
        "direft": DiReftConfig(),
        "loreft-rank": LoReftConfig(r=4),
        "loreft-suffix": LoReftConfig(r=3, suffix_positions=2),
        "loreft-suffix-only": LoReftConfig(r=2, prefix_positions=0, suffix_positions=3),
        "loreft-tied": LoReftConfig(r=2, prefix_positions=2, suffix_positions=2, tied_weights=True),
        "loreft-tied-prefix": LoReftConfig(r=2, tied_weights=True, non_linearity="tanh"),
        "loreft-layers": LoReftConfig(r=2, layers=[0, 2]),
        "noreft-layers": NoReftConfig(r=2, layers=[1], prefix_positions=30),
        "noreft-tied": NoReftConfig(r=2, suffix_positions=3, tied_weights=True, dropout=0.0),
        "direft-suffix": DiReftConfig(r=3, suffix_positions=1, non_linearity="gelu"),
        "direft-orthogonal": DiReftConfig(r=2, orthogonality=True, init_weights_seed=3),
    }.items()}
    for family in [*FAMILIES[1:], "albert-groups"]:
        table[f"loreft-{family}"] = (family, LoReftConfig(r=2, suffix_positions=1))
        table[f"noreft-{family}"] = (family, NoReftConfig(r=2))
    return table


def modules(model):
    refts = [m.refts[NAME] for m in model.modules() if isinstance(getattr(m, "refts", None), torch.nn.ModuleDict) and NAME in m.refts]
    return OTHER_MODULES(model) + refts


def randomise_named(model, names, seed, weight_std):
    RANDOMISE(model, names, seed, weight_std)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".original"):
                parameter.diagonal().copy_(torch.tensor([1.0, -1.0] * len(parameter))[: len(parameter)])
        for name, base in model.named_buffers():
            if name.endswith(".base"):
                base.copy_(torch.linalg.qr(torch.randn(base.shape, generator=generator))[0])


def still_parts(config, shapes):
    unused = [] if config.tied_weights else [f".units.{i}." for i, n in enumerate([config.prefix_positions, config.suffix_positions]) if n == 0]
    return [key for key in shapes if key.endswith(".base") or any(part in key for part in unused)]


def variant(name, family, config):
    out = write_variant(name, family, config)
    path = ROOT / name / "adapter_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    assert "subtract_projection" not in fields["config"]
    fields["config"]["subtract_projection"] = config.subtract_projection
    path.write_text(json.dumps(fields, indent=2, sort_keys=True), encoding="utf-8")
    frozen = still_parts(config, out["keys"])
    count = lambda keys: sum(torch.Size(out["keys"][key]).numel() for key in keys)  # noqa: E731
    return {**out, "trainable": count(set(out["keys"]) - set(frozen)), "frozen": frozen}


def with_frozen(train, variant, family, config, batch, dtype):
    """The buffers among the initial values too."""
    kept = {}
    randomise = trajectories.randomise_named

    def recorded(model, *args):
        randomise(model, *args)
        kept.update({k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in model.named_buffers() if k.endswith(".base")})

    trajectories.randomise_named = recorded
    result, initial, rate = train(variant, family, config, batch, dtype)
    trajectories.randomise_named = randomise
    return result, {**initial, **kept}, rate


def check_counts():
    """Those of BERT-base, which the tests name."""
    with no_init_weights():
        model = BertAdapterModel(BertConfig())
    model.add_adapter(NAME, config=LoReftConfig())
    model.train_adapter(NAME)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 36888


if __name__ == "__main__":
    main()
