"""Golden values of adapters on the tiny ModernBERT, which Python's `adapters` reaches by its plugin interface.

Writes test/golden/modernbert/<variant>/ (adapter_config.json, pytorch_adapter.bin, adapter_interface.json, as save_adapter
writes them) and test/golden/modernbert/cases.json. Encoder and head are those of encoders/modernbert-classifier (run
modernbert.py first).

Where Python attaches, with h what the sub-layer gives and x its input, which is behind attn_norm or mlp_norm:

- Bottlenecks change h before it joins the residual stream; no norm follows (original_ln_after is ignored when True and
  refused when False). seq_bn: h + Wu f(Wd (h + x)), for no norm is at hand. double_seq_bn: h + Wu f(Wd h). par_bn:
  h + s Wu f(Wd x). At attention with original_ln_before the norm is mlp_norm(h + x) of the last layer, whatever the layer
  ("seq_bn-attention": a slip in Python).
- LoRA on Wqkv: with n of q, k, v, A is (n r, in) and B (n H, r): row block i of each belongs to the i-th of the chosen ones,
  in the order q, k, v. mlp.Wi and mlp.Wo are plain linears. (IA)3: one vector of n H for the chosen parts of Wqkv, and
  2 intermediate_size for Wi, both halves.
- The invertible adapter works on the output of the embeddings. DoRA fails on Wqkv. Heads are those of transformers.

`adapters` 1.3.0 gives Wqkv, which has no bias, a random one that it never saves: even without an active adapter the model
says something else after adapters.init. That bias is taken away here.

    python tools/golden/modernbert_adapters.py
"""

import logging
import shutil

import adapters
import torch
from adapters import DoubleSeqBnConfig, IA3Config, LoRAConfig, ParBnConfig, SeqBnConfig, SeqBnInvConfig
from adapters.methods.lora import IA3
from transformers import AutoModelForSequenceClassification

from common import GOLDEN, SEED, batch_json, numbers, provenance, randomise, relative, write_json
from methods import NAME
from modernbert import alone, batch

logging.getLogger("adapters").setLevel(logging.ERROR)
ROOT = GOLDEN / "modernbert"


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    lora = lambda **kw: LoRAConfig(**{"r": 3, "alpha": 6, **kw})  # noqa: E731
    cases = {
        "seq_bn": SeqBnConfig(reduction_factor=8),
        "double_seq_bn": DoubleSeqBnConfig(reduction_factor=8),
        "par_bn": ParBnConfig(reduction_factor=8),
        "seq_bn-leave-out": SeqBnConfig(reduction_factor=8, leave_out=[1, 3]),
        "seq_bn-attention": SeqBnConfig(reduction_factor=8, mh_adapter=True, output_adapter=False),
        "seq_bn_inv": SeqBnInvConfig(reduction_factor=8),
        "lora": lora(),
        "lora-all": lora(attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True),
        "lora-k": lora(attn_matrices=["k"], leave_out=[0]),
        "ia3": IA3Config(),
        "ia3-output": IA3Config(attn_matrices=["q"], output_lora=True),
    }
    write_json(ROOT / "cases.json", {
        "provenance": provenance("modernbert_adapters.py"),
        "note": "logits: padded batch in float32; logits64: every row alone in float64. The head pools the mean over real tokens.",
        "adapterName": NAME,
        "encoder": "modernbert-classifier",
        **batch_json(batch("modernbert")),
        "cases": {variant: write_variant(variant, config, SEED + 23 * index) for index, (variant, config) in enumerate(cases.items())},
    })


def write_variant(variant, config, seed):
    model = AutoModelForSequenceClassification.from_pretrained(str(GOLDEN / "encoders" / "modernbert-classifier"), attn_implementation="eager", reference_compile=False)
    model.config._name_or_path = model.name_or_path = "multigraft-tiny-modernbert"
    adapters.init(model)
    for layer in model.model.layers:
        assert layer.attn.Wqkv.bias is not None
        layer.attn.Wqkv.bias = None
    model.add_adapter(NAME, config=config)
    fill(model, seed)
    path = ROOT / variant
    path.mkdir(parents=True)
    model.save_adapter(str(path), NAME, with_head=False)
    inputs = batch("modernbert")
    model.eval()
    with torch.no_grad():
        base = model(**inputs).logits
        model.set_active_adapters(NAME)
        single = model(**inputs).logits
    double = torch.cat(alone(model, inputs, lambda out: out.logits))
    assert float((single - base).abs().max()) > 1e-2, f"{variant}: the adapter changes nothing"
    print(f"{variant:20s} float32 {relative(single, double):.1e}")
    return {
        "folder": f"modernbert/{variant}",
        "keys": {k: list(v.shape) for k, v in torch.load(path / "pytorch_adapter.bin", weights_only=True).items()},
        "logits": numbers(single),
        "logits64": numbers(double),
        "float32AgainstFloat64": relative(single, double),
    }


def fill(model, seed):
    shell = torch.nn.Module()
    found = []
    for module in model.modules():
        for attribute in ("adapters", "loras"):
            children = getattr(module, attribute, None)
            if isinstance(children, torch.nn.ModuleDict) and NAME in children:
                found.append(children[NAME])
    invertible = model.base_model.invertible_adapters
    found += [invertible[NAME]] if NAME in invertible else []
    for index, module in enumerate(found):
        shell.add_module(str(index), module)
    randomise(shell, seed, weight_std=0.3)
    with torch.no_grad():
        for module in found:
            if isinstance(module, IA3):
                module.lora_B.add_(1)
    filled = {id(p) for p in shell.parameters()}
    assert filled == {id(p) for k, p in model.named_parameters() if f".{NAME}." in k}


if __name__ == "__main__":
    main()
