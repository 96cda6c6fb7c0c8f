"""Golden values of tiny random encoders (`transformers`) and of the real MiniLM.

Writes test/golden/encoders/<family>/{config.json,model.safetensors,cases.json}, storage variants of the BERT case
(encoders/bert-{sharded,bin,float16,bfloat16}) and encoders/minilm.json.

    python tools/golden/encoders.py [--minilm DIR]      # DIR: folder of all-MiniLM-L6-v2; skipped when not given
"""

import argparse
import shutil

import torch
from transformers import AutoModel, AutoTokenizer

from common import FAMILIES, GOLDEN, SEED, WITH_TOKEN_TYPES, batch_json, digest, make_batch, numbers, provenance, randomise, relative, tiny_config, write_json

ROOT = GOLDEN / "encoders"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minilm")
    options = parser.parse_args()
    for index, family in enumerate([*FAMILIES, "albert-groups"]):
        write_family(family, SEED + index)
    write_bert_variants()
    if options.minilm:
        write_minilm(options.minilm)


def write_family(family, seed):
    model = randomise(AutoModel.from_config(tiny_config(family), attn_implementation="eager"), seed).eval()
    folder = ROOT / family
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder)
    limit = 38 if "roberta" in family else 40
    cases = {
        "batch": run_case(model, make_batch(family), full=True),
        "longest": run_case(model, make_batch(family, lengths=[limit], seed=SEED + 1)),
    }
    if family in WITH_TOKEN_TYPES:
        cases["noTokenTypes"] = run_case(model, make_batch(family, token_types=False))
    if "roberta" in family:
        # A padding id amid the row takes the padding position and is not counted by its successors.
        batch = make_batch(family)
        batch["input_ids"][0, 3] = batch["input_ids"][4, 1] = 1
        cases["padInside"] = run_case(model, batch)
    write_json(folder / "cases.json", {
        "provenance": provenance("encoders.py", seed),
        "family": family,
        "cases": cases,
    })


def run_case(model, batch, full=False):
    model.float()
    with torch.no_grad():
        single = model(**batch, output_hidden_states=True)
        double = model.double()(**batch, output_hidden_states=True)
    model.float()
    pooled = getattr(single, "pooler_output", None)
    out = batch_json(batch)
    if full:
        out["hiddenStates"] = [digest(h) for h in single.hidden_states]
        out["lastHiddenState"] = numbers(single.last_hidden_state)
        out["firstToken64"] = numbers(double.last_hidden_state[:, 0])
    else:
        out["lastHiddenDigest"] = digest(single.last_hidden_state)
    out["pooled"] = None if pooled is None else numbers(pooled)
    out["float32AgainstFloat64"] = relative(single.last_hidden_state, double.last_hidden_state)
    return out


def save(model, folder, **options):
    model.config._name_or_path = ""
    model.save_pretrained(str(folder), **options)


def write_bert_variants():
    """One model, four storages. The half-precision cases hold the outputs of the rounded weights computed in float32."""
    results = {}
    batch = make_batch("bert")

    def fresh(dtype=torch.float32):
        return AutoModel.from_pretrained(str(ROOT / "bert"), attn_implementation="eager", dtype=dtype).eval()

    for name in ["sharded", "bin", "float16", "bfloat16"]:
        folder = ROOT / f"bert-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if name == "sharded":
            model = fresh()
            save(model, folder, max_shard_size="50KB")
        elif name == "bin":
            model = fresh()
            model.config.to_json_file(str(folder / "config.json"))
            # The whole pretraining model's names, with the buffer that old checkpoints carry.
            state = {f"bert.{k}": v for k, v in model.state_dict().items()}
            state["bert.embeddings.position_ids"] = torch.arange(40).expand((1, -1))
            torch.save(state, folder / "pytorch_model.bin")
        else:
            model = fresh(getattr(torch, name))
            save(model, folder)
            model.float()
        with torch.no_grad():
            out = model(**batch)
        results[name] = {"lastHiddenState": digest(out.last_hidden_state), "pooled": numbers(out.pooler_output)}
    write_json(ROOT / "bert-variants.json", {"provenance": provenance("encoders.py"), **batch_json(batch), "variants": results})


SENTENCES = [
    "The kettle sings before the lamp is lit.",
    "Our neighbour planted seven apple trees along the northern wall.",
    "Is the last train to the coast already gone?",
    "Two engineers argued, politely, about the width of a single bolt.",
    "Rain.",
    "She counted 1,204 bricks and then lost her place.",
    "A very small violin was left on the very large table in the hall, where nobody had played since the summer of the flood.",
    "Please return the blue ladder!",
]


def write_minilm(path):
    model = AutoModel.from_pretrained(path, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    generator = torch.Generator().manual_seed(SEED)
    rows = [tokenizer(s)["input_ids"] for s in SENTENCES]
    rows += [
        [101, *torch.randint(1000, 30000, (length - 2,), generator=generator).tolist(), 102]
        for length in [3, 17, 64, 128, 33, 5, 90, 48]
    ]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = (torch.arange(width)[None, :] < torch.tensor([len(r) for r in rows])[:, None]).long()
    with torch.no_grad():
        single = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        double = model.double()(input_ids=ids, attention_mask=mask)
    last = single.last_hidden_state
    real = mask.unsqueeze(-1)
    write_json(ROOT / "minilm.json", {
        "provenance": provenance("encoders.py", model="all-MiniLM-L6-v2 (not in this repository)"),
        "note": "Rows are right-padded with id 0 to the longest; sums run over real tokens only; slices are [first 8, last 8] of the 384 features.",
        "inputIds": rows,
        "sentences": SENTENCES,
        "layers": [{"rowSums": numbers((h * real).sum((1, 2))), "rowAbsSums": numbers((h * real).abs().sum((1, 2)))} for h in single.hidden_states],
        "firstToken": numbers(torch.cat([last[:, 0, :8], last[:, 0, -8:]], -1)),
        "lastToken": numbers(torch.stack([torch.cat([last[i, len(r) - 1, :8], last[i, len(r) - 1, -8:]]) for i, r in enumerate(rows)])),
        "pooled": numbers(torch.cat([single.pooler_output[:, :8], single.pooler_output[:, -8:]], -1)),
        "maxAbs": numbers((last * real).abs().amax((1, 2))),
        "float32AgainstFloat64": relative(last * real, double.last_hidden_state * real),
    })


if __name__ == "__main__":
    main()
