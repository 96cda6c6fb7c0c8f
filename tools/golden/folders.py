"""Golden folders of kinds that other generators do not write, each with what Python computes from it.

Writes test/golden/folders/ and test/golden/folders/folders.json: heads without a last bias, fixed heads that `adapters.init` saved
and an AdapterModel converts, an encoder whose embeddings are as wide as its layers. Run encoders.py first.

    python tools/golden/folders.py                      # all of it anew
    python tools/golden/folders.py heads                # these cases alone
"""

import json
import logging
import shutil
import sys

import adapters
import torch
import transformers
from adapters.heads import ClassificationHead, MultiLabelClassificationHead

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, randomise, relative, tiny_config, write_json

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "folders"
NAMES = {0: "alpha", 1: "beta", 2: "gamma"}
LENGTHS = [7, 5, 8, 3]


def main():
    groups = {"encoders": encoders, "heads": heads}
    path = ROOT / "folders.json"
    old = json.loads(path.read_text()) if path.exists() else {"cases": {}}
    cases = old["cases"]
    for group in sys.argv[1:] or groups:
        cases = {name: case for name, case in cases.items() if case["group"] != group}
        shutil.rmtree(ROOT / group, ignore_errors=True)
        cases.update({f"{group}/{name}": {"group": group, **case} for name, case in groups[group]().items()})
    batches = {family: batch_json(make_batch(family, LENGTHS)) for family in ["bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert"]}
    write_json(path, {
        "provenance": provenance("folders.py"),
        "note": "Every case names its encoder (a folder of test/golden), and its batch by family. logits64 are those of the float64 model.",
        "batches": batches,
        "cases": dict(sorted(cases.items())),
    })


def encoders():
    """ELECTRA with embeddings as wide as its layers has no projection, ALBERT has one all the same."""
    out = {}
    for family, cls in {"electra": transformers.ElectraModel, "albert": transformers.AlbertModel}.items():
        config = tiny_config(family)
        config.embedding_size = config.hidden_size
        config.num_hidden_layers = 1
        model = randomise(cls(config), SEED + len(family)).eval()
        folder = ROOT / "encoders" / family
        model.save_pretrained(str(folder))
        with torch.no_grad():
            single = model(**make_batch(family, LENGTHS)).last_hidden_state
            double = model.double()(**make_batch(family, LENGTHS)).last_hidden_state
        out[family] = {"encoder": f"folders/encoders/{family}", "batch": family, "hidden64": numbers(double), "float32AgainstFloat64": relative(single, double)}
    return out


def heads():
    """`bias` false takes the bias of the last linear alone."""
    cases = {
        "no-bias-2": (ClassificationHead, dict(num_labels=3, layers=2, bias=False, id2label=NAMES)),
        "no-bias-3": (ClassificationHead, dict(num_labels=2, layers=3, bias=False, activation_function="gelu_new", dropout_prob=0.1)),
        "no-bias-pooler": (MultiLabelClassificationHead, dict(num_labels=3, layers=2, bias=False, use_pooler=True)),
        "no-bias-linear": (ClassificationHead, dict(num_labels=3, layers=3, bias=False, activation_function=None)),
        "labels-with-a-gap": (ClassificationHead, dict(num_labels=3, layers=1, id2label={0: "alpha", 2: "gamma"})),
    }
    out = {}
    for index, (name, (cls, options)) in enumerate(cases.items()):
        model = load_encoder("bert", adapter_model=True)
        model.add_prediction_head(cls(model, name, **options))
        randomise(model.heads[name], SEED + index, weight_std=0.3)
        (ROOT / "heads" / name).mkdir(parents=True)
        model.save_head(str(ROOT / "heads" / name), name)
        model.active_head = name
        out[name] = {"encoder": "encoders/bert", "batch": "bert", "head": f"folders/heads/{name}", **outputs(model, make_batch("bert", LENGTHS))}
    return out


def outputs(model, batch):
    """Logits in the order of ours: rows, tokens and outputs one after another."""
    def logits(out):
        return torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits

    model.eval()
    with torch.no_grad():
        single, double = logits(model(**batch)), logits(model.double()(**batch))
    return {"logits64": numbers(double), "float32AgainstFloat64": relative(single, double)}


if __name__ == "__main__":
    main()
