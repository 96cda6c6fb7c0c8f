"""Golden values of masked-LM heads of `adapters` on the tiny encoders, with and without adapters that bring an invertible one.

Writes test/golden/masked-lm/<case>/ (head_config.json, pytorch_model_head.bin, and with an adapter adapter_config.json,
pytorch_adapter.bin) and test/golden/masked-lm/cases.json.

The head: for each of layers - 1: Linear, activation, LayerNorm (layer_norm False: none), the first Linear to embedding_size;
then, when the first active adapter has an invertible one, its inverse; then the decoder, Linear(embedding_size, vocab_size),
whose weight is the table of word embeddings (one parameter, which the head's file holds too) and whose bias is the head's.
The LayerNorm has the encoder's layer_norm_eps (1e-12 where the config has none: DistilBERT). No dropout. Modules are
numbered: 0 Linear, 1 activation, 2 LayerNorm, 3 decoder; activations take a number, an absent one does not. Loss: mean
cross-entropy over labels that are not -100, padding included if it has a label.

    python tools/golden/masked_lm.py
"""

import logging
import shutil

import torch
from adapters import DoubleSeqBnInvConfig, SeqBnConfig, SeqBnInvConfig
from adapters.heads import BertStyleMaskedLMHead

from common import GOLDEN, SEED, batch_json, load_encoder, make_batch, numbers, provenance, randomise, relative, write_json
from methods import NAME, adapter_modules

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "masked-lm"
LENGTHS = [7, 4, 6]
LABELS = torch.tensor([[-100, 17, -100, -100, 60, -100, -100], [-100, -100, 99, -100, -100, -100, -100], [-100, 8, 41, -100, 5, -100, -100]])


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    inv, double = SeqBnInvConfig(reduction_factor=8), DoubleSeqBnInvConfig(reduction_factor=8)
    cases = {
        "bert": ("bert", None, {}),
        "bert-seq_bn": ("bert", SeqBnConfig(reduction_factor=8), {}),
        "bert-seq_bn_inv": ("bert", inv, {}),
        "bert-layers-1": ("bert", inv, {"layers": 1}),
        "bert-layers-3-relu": ("bert", double, {"layers": 3, "activation_function": "relu"}),
        "bert-no-norm": ("bert", None, {"layer_norm": False}),
        "bert-no-activation": ("bert", None, {"activation_function": None}),
        "bert-no-bias": ("bert", inv, {"bias": False}),
        "roberta-seq_bn_inv": ("roberta", inv, {}),
        "distilbert-seq_bn_inv": ("distilbert", inv, {}),
        "electra": ("electra", None, {}),
        "electra-double_seq_bn_inv": ("electra", double, {}),
        "albert": ("albert", None, {}),
        "albert-seq_bn_inv": ("albert", inv, {}),
    }
    write_json(ROOT / "cases.json", {
        "provenance": provenance("masked_lm.py"),
        "note": "All values in float64. logits: first row (tokens x vocabulary); logitSums, logitAbsSums: every token's over the "
        "vocabulary. keys: what is in the files. trainable: what train_adapter switches on. gradientNorms: of the loss, the "
        "decoder's and word embeddings' own parameter frozen.",
        "adapterName": NAME,
        "labels": LABELS.tolist(),
        "batches": {family: batch_json(make_batch(family, lengths=LENGTHS, seed=SEED + 9)) for family in ["bert", "roberta", "distilbert", "electra", "albert"]},
        "cases": {name: write_case(name, family, config, options, SEED + 41 * index) for index, (name, (family, config, options)) in enumerate(cases.items())},
    })


def write_case(name, family, config, options, seed):
    model = load_encoder(family, adapter_model=True)
    if options.keys() - {"layers", "activation_function"}:  # not arguments of add_masked_lm_head
        model.add_prediction_head(BertStyleMaskedLMHead(model, NAME, **options))
    else:
        model.add_masked_lm_head(NAME, **options)
    if config:
        model.add_adapter(NAME, config=config)
        model.train_adapter(NAME)
    fill(model, seed)
    path = ROOT / name
    path.mkdir(parents=True)
    if config:
        model.save_adapter(str(path), NAME)
    else:
        model.save_head(str(path), NAME)
    trainable = sorted(k for k, p in model.named_parameters() if p.requires_grad) if config else None
    for k, p in model.named_parameters():
        p.requires_grad = f".{NAME}." in k
    decoder = model.heads[NAME].get_output_embeddings()
    assert decoder.weight is model.get_input_embeddings().weight
    decoder.weight.requires_grad = False

    model.active_head = NAME
    model.eval()
    batch = make_batch(family, lengths=LENGTHS, seed=SEED + 9)
    with torch.no_grad():
        single = model(**batch, labels=LABELS)
    double = model.double()(**batch, labels=LABELS)
    double.loss.backward()
    logits = double.logits.detach()
    if config and config.get("inv_adapter"):
        without_inverse(model, batch, logits)
    files = ["pytorch_model_head.bin", *(["pytorch_adapter.bin"] if config else [])]
    print(f"{name:28s} float32 {relative(single.logits, logits):.1e} loss {double.loss.item():.4f}")
    return {
        "folder": f"masked-lm/{name}",
        "encoder": family,
        "hasAdapter": config is not None,
        "keys": {f: {k: list(v.shape) for k, v in torch.load(path / f, weights_only=True).items()} for f in files},
        **({"trainable": trainable} if trainable else {}),
        "logits": numbers(logits[0]),
        "logitSums": numbers(logits.sum(-1)),
        "logitAbsSums": numbers(logits.abs().sum(-1)),
        "loss": numbers(double.loss.item()),
        "gradientNorms": {k: numbers(p.grad.norm().item()) for k, p in model.named_parameters() if p.requires_grad},
        "float32AgainstFloat64": relative(single.logits, logits),
    }


def fill(model, seed):
    """Adapter and head, but for the decoder's weight, which is the encoder's."""
    shell = torch.nn.Module()
    table = model.get_input_embeddings().weight.detach().clone()
    for index, module in enumerate(adapter_modules(model)):
        shell.add_module(str(index), module)
    randomise(shell, seed, weight_std=0.3)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(table)


def without_inverse(model, batch, logits):
    """The inverse matters: without it the head says something else."""
    head = model.heads[NAME]
    with torch.no_grad():
        hidden = model.base_model(**batch).last_hidden_state
        plain = torch.nn.Sequential(*head)(hidden)
    assert relative(plain, logits) > 1e-2


if __name__ == "__main__":
    main()
