"""Golden values of tiny random encoders whose attention knows how far tokens lie apart (`transformers`): MPNet.

Writes test/golden/encoders/<variant>/{config.json,model.safetensors,cases.json}, in the form of encoders.py.

    python tools/golden/relative.py
"""

from transformers import AutoModel

from common import SEED, make_batch, provenance, randomise, tiny_config, write_json
from encoders import ROOT, run_case, save

# The longest row that each takes.
LONGEST = {"mpnet": 200}


def main():
    for index, (variant, longest) in enumerate(LONGEST.items()):
        seed = SEED + 200 + index
        model = randomise(AutoModel.from_config(tiny_config(variant), attn_implementation="eager"), seed).eval()
        folder = ROOT / variant
        folder.mkdir(parents=True, exist_ok=True)
        save(model, folder)
        cases = {
            "batch": run_case(model, make_batch(variant), full=True),
            "longest": run_case(model, make_batch(variant, lengths=[longest], seed=SEED + 1)),
            "oneToken": run_case(model, make_batch(variant, lengths=[2, 1], seed=SEED + 2)),
        }
        write_json(folder / "cases.json", {"provenance": provenance("relative.py", seed), "family": variant, "cases": cases})


if __name__ == "__main__":
    main()
