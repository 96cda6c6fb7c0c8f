"""Golden values of tiny random ModernBERT encoders and of their classification heads by `transformers`.

Writes test/golden/encoders/modernbert/ and modernbert-biases/ {config.json,model.safetensors,cases.json}, in the form of
encoders.py, and the same encoders with heads in modernbert-classifier/ and modernbert-biases-classifier/.

What differs from the BERT line:

- Norms stand before attention and feed-forward: x += Wo(attend(attn_norm(x))); x += mlp(mlp_norm(x)). Layer 0 has no
  attn_norm (the embeddings end in a norm, and nothing is added to it before). After the last layer comes final_norm:
  hiddenStates[-1] lies before it, lastHiddenState behind it. Norms have a bias only with norm_bias.
- No positions are added to the embeddings: tok_embeddings, norm. Queries and keys are turned instead (RoPE): with
  f_i = theta^(-2i/d), i < d/2, and position p, the pair (z_i, z_{i+d/2}) becomes (z_i cos - z_{i+d/2} sin, z_{i+d/2} cos + z_i sin)
  of the angle p f_i. Positions are 0, 1, 2, ... for every row, padding counted: only differences matter.
- Layer l attends to all tokens when l % global_attn_every_n_layers = 0, with theta = global_rope_theta. Every other
  layer sees |i - j| <= local_attention // 2 alone, with theta = local_rope_theta (global_rope_theta when that is null).
- A padding token that no real token is near has every score masked: its row is the mean of all values. Nothing real sees it.
- Wqkv's rows are those of all heads' queries, then keys, then values. Scores are divided by sqrt(d).
- mlp: Wi gives 2 intermediate_size rows; Wo(act(first half) * second half). The activation is hidden_activation.
- The head: classifier(norm(act(dense(pooled)))), pooled the first token or the mean over real tokens (classifier_pooling);
  dense has a bias only with classifier_bias, the norm only with norm_bias, classifier always. Token classification is the
  same head on every token.

`transformers` takes the softmax and RoPE's sines in float32 in a float64 model too, and there a row with every score masked
gives NaN, which the next layer spreads to all tokens. So float64 values come from each row alone, without padding.

    python tools/golden/modernbert.py
"""

import torch
from transformers import ModernBertForSequenceClassification, ModernBertForTokenClassification, ModernBertModel

from common import SEED, batch_json, digest, make_batch, numbers, provenance, randomise, relative, tiny_config, write_json
from encoders import ROOT, save
from methods import row

LENGTHS = [24, 17, 21, 3, 10]


def main():
    for index, family in enumerate(["modernbert", "modernbert-biases"]):
        seed = SEED + 100 + index
        config = tiny_config(family)
        config.num_labels = 3
        classifier = randomise(ModernBertForSequenceClassification._from_config(config, attn_implementation="eager"), seed).eval()
        write_encoder(family, classifier.model, seed)
        write_classifier(family, classifier, seed)


def write_encoder(family, model, seed):
    folder = ROOT / family
    bare = ModernBertModel._from_config(tiny_config(family), attn_implementation="eager").eval()
    bare.load_state_dict(model.state_dict())
    save(bare, folder)
    cases = {
        "batch": run_case(bare, batch(family), full=True),
        "longest": run_case(bare, make_batch(family, lengths=[64], seed=SEED + 1)),
        "shorterThanWindow": run_case(bare, make_batch(family, lengths=[4, 3], seed=SEED + 2)),
    }
    window_matters(bare, batch(family), cases["batch"])
    write_json(folder / "cases.json", {"provenance": provenance("modernbert.py", seed), "family": family, "cases": cases})


def run_case(model, inputs, full=False):
    with torch.no_grad():
        single = model(**inputs, output_hidden_states=True)
    double = alone(model, inputs, lambda out: out.last_hidden_state)
    out = batch_json(inputs)
    if full:
        out["hiddenStates"] = [digest(h) for h in single.hidden_states]
        out["lastHiddenState"] = numbers(single.last_hidden_state)
        out["firstToken64"] = numbers(torch.stack([h[0, 0] for h in double]))
    else:
        out["lastHiddenDigest"] = digest(single.last_hidden_state)
    out["pooled"] = None
    out["float32AgainstFloat64"] = max(relative(single.last_hidden_state[i, : h.shape[1]], h[0]) for i, h in enumerate(double))
    return out


def alone(model, inputs, pick):
    """What the float64 model says to each row without its padding."""
    model.double()
    with torch.no_grad():
        out = [pick(model(**row(inputs, i))) for i in range(len(inputs["input_ids"]))]
    model.float()
    return out


def window_matters(model, batch, case):
    """With a wider window or another rope for all layers the encoder says something else, and the cases can tell."""
    expected = torch.tensor(case["lastHiddenState"])
    real = batch["attention_mask"].bool()
    for change in [{"local_attention": 10}, {"local_rope_theta": 9.0}, {"global_rope_theta": 9.0}]:
        config = type(model.config).from_dict({**model.config.to_dict(), **change, "reference_compile": False})
        wide = ModernBertModel._from_config(config, attn_implementation="eager").eval()
        wide.load_state_dict(model.state_dict())
        with torch.no_grad():
            found = wide(**batch).last_hidden_state
        assert relative(found[real], expected[real]) > 1e-2, change


def batch(family):
    return make_batch(family, lengths=LENGTHS)


def write_classifier(family, model, seed):
    """One set of weights; the config that is saved says mean, the cases hold both ways of pooling."""
    folder = ROOT / f"{family}-classifier"
    inputs = batch(family)
    model.config.classifier_pooling = "mean"
    save(model, folder)
    tokens = ModernBertForTokenClassification._from_config(model.config, attn_implementation="eager").eval()
    tokens.load_state_dict(model.state_dict())
    cases = {}
    for pooling in ["cls", "mean"]:
        model.config.classifier_pooling = pooling
        cases[pooling] = run_head(model, inputs)
    cases["tokens"] = run_head(tokens, inputs)
    write_json(folder / "cases.json", {
        "provenance": provenance("modernbert.py", seed),
        "family": family,
        "note": "logits by classifier_pooling cls and mean (rows x labels), and of every token (token classification), there "
        "with padding in logits and without in logits64.",
        **batch_json(inputs),
        "keys": {k: list(v.shape) for k, v in model.state_dict().items() if not k.startswith("model.")},
        "cases": cases,
    })


def run_head(model, inputs):
    with torch.no_grad():
        single = model(**inputs).logits
    double = [logits[0] for logits in alone(model, inputs, lambda out: out.logits)]
    worst = max(relative(single[i, : len(d)] if d.dim() == 2 else single[i], d) for i, d in enumerate(double))
    return {"logits": numbers(single), "logits64": [numbers(d) for d in double], "float32AgainstFloat64": worst}


if __name__ == "__main__":
    main()
