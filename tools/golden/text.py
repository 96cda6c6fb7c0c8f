"""Golden values for src/text: what Python's fast tokenizers give.

Writes test/golden/text/: small tokenizers trained here (WordPiece, byte-level BPE, Unigram with a Precompiled
normaliser; ALBERT's chain over the Unigram), nasty.json's strings encoded in full, and hashes of encodings of real lines named by (task, split, line).

    python tools/golden/text.py --shared ../shared --out test/golden/text [--train]

Without --train the committed tokenizers are used as they are. --full FILE also writes every encoding, for debugging.
Vocabularies are trained on the train splits of tasks under open licences (see OPEN) and on our own strings.
"""

import argparse
import json
import random
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
import tokenizers
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SEED = 7
OPEN = {"snips_intent": "CC0 1.0", "banking77": "CC BY 4.0", "clinc150": "CC BY 3.0", "openbookqa": "Apache-2.0"}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# (kind, task, split, field(s), lines, options); options.maxLengths are used in turn.
REAL = [
    ("single", "sms_spam", "test", ["text"], 541, {}),
    ("single", "sst2", "test", ["text"], 500, {}),
    ("single", "ag_news", "test", ["text"], 600, {}),
    ("single", "banking77", "test", ["text"], 300, {}),
    ("single", "squad", "test", ["context"], 200, {}),
    ("single", "imdb", "test", ["text"], 60, {"maxLengths": [64, 128, 300]}),
    ("pair", "mrpc", "test", ["text", "textPair"], 500, {"maxLengths": [9, 16, 24, 33, 48, 64]}),
    ("pair", "rte", "test", ["text", "textPair"], 277, {"maxLengths": [20, 40, 75]}),
    ("pair", "boolq", "test", ["text", "textPair"], 60, {"maxLengths": [128], "truncation": "only_second", "swap": True}),
    ("pair", "stsb", "test", ["text", "textPair"], 200, {}),
    ("words", "wnut17", "test", ["tokens"], 500, {"maxLengths": [128, 20]}),
    ("words", "ewt_pos", "test", ["tokens"], 500, {}),
    ("windows", "squad", "test", ["question", "context"], 120, {"maxLengths": [96, 128], "stride": 32}),
]


SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}


def normalize(*stages):
    return {"normalizer": {"type": "Sequence", "normalizers": list(stages)}}


def pre_tokenize(*stages):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(stages)}}


# (base, what replaces parts of its tokenizer.json, what replaces parts of its model, whether byte tokens join the vocabulary)
VARIANTS = [
    ("unigram", {**normalize({"type": "NFC"}, {"type": "Lowercase"}), **pre_tokenize({"type": "Whitespace"}, METASPACE)}, {}, False),
    ("unigram", {**normalize({"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": True}), **pre_tokenize(METASPACE)}, {}, False),
    ("unigram", {**normalize({"type": "NFD"}, {"type": "StripAccents"}), **pre_tokenize({"type": "Punctuation", "behavior": "MergedWithPrevious"})}, {}, False),
    ("unigram", {**normalize({"type": "Nmt"}, {"type": "NFKD"}), **pre_tokenize({"type": "Digits", "individual_digits": True}, METASPACE)}, {}, False),
    ("unigram", {**normalize({"type": "Nmt"}), **pre_tokenize({"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "Contiguous"})}, {}, True),
    (
        "unigram",
        {
            **normalize({"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}),
            "pre_tokenizer": None,
        },
        {"byte_fallback": True},
        True,
    ),
    (
        "unigram",
        {**normalize({"type": "NFKC"}), **pre_tokenize({"type": "CharDelimiterSplit", "delimiter": "a"}, {"type": "Split", "pattern": {"Regex": "[aeiou]+"}, "behavior": "MergedWithNext", "invert": True})},
        {},
        False,
    ),
    (
        "bbpe",
        pre_tokenize(
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        ),
        {"ignore_merges": True},
        False,
    ),
    ("bbpe", {**normalize({"type": "NFC"}), "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}}, {}, False),
    ("bbpe", {"pre_tokenizer": {"type": "WhitespaceSplit"}}, {"unk_token": "<unk>", "fuse_unk": True}, False),
    ("wordpiece", {"normalizer": {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": False, "strip_accents": True, "lowercase": False}}, {}, False),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--full", type=Path)
    args = parser.parse_args()
    nasty = json.loads((args.out / "nasty.json").read_text())["strings"]
    if args.train:
        train(args.shared, args.out, nasty)
    (args.out / "variants.golden.json").write_text(dump_variants(args.out, nasty))
    for name, tokenizer, words_tokenizer in load(args.shared, args.out):
        cases = list(nasty_cases(nasty))
        golden = {"provenance": provenance(name), "overrides": albert_chain() if name == "albert" else {}, "nasty": [], "real": []}
        full = []
        for case in cases:
            encodings = encode(words_tokenizer if case["kind"] == "words" else tokenizer, case)
            record = {key: value for key, value in case.items() if key != "inputs"}
            golden["nasty"].append({**record, **flatten(encodings, case), "hash": hash_of(encodings, case)})
            full.append({**case, "encodings": details(encodings, case)})
        for kind, task, split, fields, lines, options in REAL:
            rows = (args.shared / "data" / task / f"{split}.jsonl").read_text().split("\n")
            hashes, first = [], []
            for line in range(lines):
                case = real_case(kind, json.loads(rows[line]), fields, options, line)
                encodings = encode(words_tokenizer if kind == "words" else tokenizer, case)
                hashes.append(hash_of(encodings, case))
                if line < 5:
                    first.append([list(e.ids) for e in encodings])
                full.append({**case, "source": [task, split, line], "encodings": details(encodings, case)})
            golden["real"].append(
                {"kind": kind, "task": task, "split": split, "fields": fields, "options": options, "firstIds": first, "hashes": hashes}
            )
        (args.out / f"{name}.golden.json").write_text(dump(golden))
        print(name, len(cases), sum(len(r["hashes"]) for r in golden["real"]))
        if args.full:
            (args.full / f"{name}.full.json").write_text(json.dumps(full))


def dump_variants(out, nasty):
    variants = []
    for base, overrides, model_overrides, byte_tokens in VARIANTS:
        state = json.loads((out / f"{base}.tokenizer.json").read_text())
        state.update(overrides)
        state["model"].update(model_overrides)
        if byte_tokens:
            state["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)))
        cases = [{"kind": "single", "inputs": [string]} for string in nasty]
        hashes = [hash_of(encode(tokenizer, case), case) for case in cases]
        variants.append({"base": base, "overrides": overrides, "model": model_overrides, "byteTokens": byte_tokens, "hashes": hashes})
    lines = ",\n".join(json.dumps(variant, separators=(",", ":")) for variant in variants)
    return '{\n"provenance": ' + json.dumps(provenance("variants")) + ',\n"variants": [\n' + lines + "\n]\n}\n"


def dump(golden):
    lines = ["{", '"provenance": ' + json.dumps(golden["provenance"]) + ",", '"overrides": ' + json.dumps(golden["overrides"]) + ",", '"nasty": [']
    lines.append(",\n".join(json.dumps(case, separators=(",", ":")) for case in golden["nasty"]))
    lines.append('],\n"real": [')
    lines.append(",\n".join(json.dumps(part, separators=(",", ":")) for part in golden["real"]))
    return "\n".join(lines) + "\n]\n}\n"


def provenance(name):
    return {
        "generator": "tools/golden/text.py",
        "tokenizer": name,
        "seed": SEED,
        "versions": {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__},
        "trainedOn": OPEN,
        "hash": "FNV-1a 32 over little-endian int32: per encoding n, ids, type ids, special mask, sequence ids, word ids, offsets (UTF-16)",
    }


def nasty_cases(strings):
    count = len(strings)
    for i, string in enumerate(strings):
        yield {"kind": "single", "strings": [i], "inputs": [string]}
    for i in range(count):
        j = (7 * i + 3) % count
        strategy = ["longest_first", "longest_first", "only_second", "only_first"][i % 4]
        yield {"kind": "pair", "strings": [i, j], "inputs": [strings[i], strings[j]], "maxLength": [6, 9, 14, 24, 400][i % 5], "truncation": strategy}
    for i in range(0, count, 2):
        picked = [i, (i + 1) % count, (i + 5) % count, i]
        yield {"kind": "words", "strings": picked, "inputs": [strings[k] for k in picked]}


def real_case(kind, row, fields, options, line):
    lengths = options.get("maxLengths")
    case = {"kind": kind, "inputs": row[fields[0]] if kind == "words" else [row[field] for field in fields]}
    if options.get("swap"):
        case["inputs"] = sorted(case["inputs"], key=len)
    if lengths:
        case["maxLength"] = lengths[line % len(lengths)]
    if kind == "windows":
        case["stride"] = options["stride"]
    case["truncation"] = options.get("truncation", "longest_first")
    return case


def encode(tokenizer, case):
    """The list of encodings; empty when Python refuses (a sequence too short to cut)."""
    settings = {}
    if "maxLength" in case:
        settings = {"max_length": case["maxLength"], "truncation": case["truncation"]}
    inputs = case["inputs"]
    try:
        if case["kind"] == "words":
            return tokenizer([inputs], is_split_into_words=True, **settings).encodings
        if case["kind"] == "windows":
            settings["truncation"] = "only_second"
            return tokenizer([inputs[0]], [inputs[1]], stride=case["stride"], return_overflowing_tokens=True, **settings).encodings
        if len(inputs) == 2:
            return tokenizer([inputs[0]], [inputs[1]], **settings).encodings
        return tokenizer([inputs[0]], **settings).encodings
    except Exception as error:
        if "too short to respect" in str(error):
            return []
        raise


def units_of(string):
    """For each code-point position the position in UTF-16 units."""
    units = [0]
    for character in string:
        units.append(units[-1] + (2 if ord(character) > 0xFFFF else 1))
    return units


def detail(encoding, case, first=None):
    n = len(encoding.ids)
    sequences = [-1 if s is None else s for s in encoding.sequence_ids]
    words = [-1 if w is None else w for w in encoding.word_ids]
    maps = [units_of(string) for string in case["inputs"]]
    offsets = []
    for i in range(n):
        start, end = encoding.offsets[i]
        if sequences[i] < 0:
            offsets += [0, 0]
            continue
        units = maps[words[i]] if case["kind"] == "words" else maps[sequences[i]]
        offsets += [units[start], units[end]]
    return {
        "ids": list(encoding.ids),
        # Later windows keep type id 1 for the context whatever the template says (a defect there: XLM-R has no type 1).
        "types": list(encoding.type_ids) if first is None else [0 if first.type_ids[-2] == 0 else t for t in encoding.type_ids],
        "special": list(encoding.special_tokens_mask),
        "sequences": sequences,
        "words": words,
        "offsets": offsets,
    }


def details(encodings, case):
    return [detail(encoding, case, None if i == 0 else encodings[0]) for i, encoding in enumerate(encodings)]


def flatten(encodings, case):
    if not encodings:
        return {"refused": True}
    d = detail(encodings[0], case)
    return {"ids": d["ids"], "offsets": d["offsets"], "words": d["words"]} if case["kind"] == "single" else {"ids": d["ids"]}


def hash_of(encodings, case):
    state = 0x811C9DC5
    for d in details(encodings, case):
        for value in [len(d["ids"]), *d["ids"], *d["types"], *d["special"], *d["sequences"], *d["words"], *d["offsets"]]:
            for byte in (value & 0xFFFFFFFF).to_bytes(4, "little"):
                state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    return state


def load(shared, out):
    """Yields name, tokenizer, tokenizer for words already split (byte-level ones need a prefix space there)."""
    minilm = transformers.AutoTokenizer.from_pretrained(shared / "models" / "minilm")
    yield "minilm", minilm, minilm
    cased = transformers.BertTokenizerFast(tokenizer_file=str(out / "wordpiece.tokenizer.json"), do_lower_case=False)
    yield "wordpiece", cased, cased
    roberta = {
        prefixed: transformers.RobertaTokenizerFast(tokenizer_file=str(out / "bbpe.tokenizer.json"), add_prefix_space=prefixed)
        for prefixed in (False, True)
    }
    yield "bbpe", roberta[False], roberta[True]
    yield "bbpe-prefixed", roberta[True], roberta[True]
    unigram = transformers.XLMRobertaTokenizerFast(tokenizer_file=str(out / "unigram.tokenizer.json"))
    yield "unigram", unigram, unigram
    state = json.loads((out / "unigram.tokenizer.json").read_text())
    precompiled = next(n for n in state["normalizer"]["normalizers"] if n["type"] == "Precompiled")
    state.update(albert_chain())
    next(n for n in state["normalizer"]["normalizers"] if n["type"] == "Precompiled").update(precompiled)
    albert = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)))
    yield "albert", albert, albert


def train(shared, out, nasty):
    random.seed(SEED)
    lines = []
    for task in OPEN:
        for row in (shared / "data" / task / "train.jsonl").read_text().splitlines():
            lines.append(json.loads(row)["text"])
    random.shuffle(lines)
    lines = lines[:16000] + [s for s in nasty if s.strip()] * 2
    train_wordpiece(lines, out / "wordpiece.tokenizer.json")
    train_bbpe(lines, out / "bbpe.tokenizer.json")
    train_unigram(lines, out)


def save(tokenizer, path):
    path.write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")


def train_wordpiece(lines, path):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=None)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=3000, limit_alphabet=400, special_tokens=SPECIALS, show_progress=False))
    ids = {token: tokenizer.token_to_id(token) for token in SPECIALS}
    tokenizer.post_processor = processors.BertProcessing(sep=("[SEP]", ids["[SEP]"]), cls=("[CLS]", ids["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece()
    save(tokenizer, path)


def train_bbpe(lines, path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    tokenizer.post_processor = processors.RobertaProcessing(sep=("</s>", 2), cls=("<s>", 0), trim_offsets=True, add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    save(tokenizer, path)


def train_unigram(lines, out):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "text").write_text("\n".join(line.replace("\n", " ") for line in lines))
        (folder / "rules.tsv").write_text(normalisation_rules())
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text"),
            model_prefix=str(folder / "sentencepiece"),
            model_type="unigram",
            vocab_size=3000,
            character_coverage=0.9995,
            normalization_rule_tsv=str(folder / "rules.tsv"),
            num_threads=1,
            minloglevel=2,
        )
        fast = transformers.XLMRobertaTokenizerFast(vocab_file=str(folder / "sentencepiece.model"))
        save(fast.backend_tokenizer, out / "unigram.tokenizer.json")


def albert_chain():
    """ALBERT's chain of normalisers and its layout over the same vocabulary, as what differs from the Unigram's
    tokenizer.json, whose charsmap belongs into Precompiled."""
    return {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
                {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
                {"type": "NFKD"},
                {"type": "StripAccents"},
                {"type": "Lowercase"},
                {"type": "Precompiled"},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("<s>", 0), sequence("A", 0), special("</s>", 0)],
            "pair": [special("<s>", 0), sequence("A", 0), special("</s>", 0), sequence("B", 1), special("</s>", 1)],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in (("<s>", 0), ("</s>", 2))},
        },
    }


def special(name, type_id):
    return {"SpecialToken": {"id": name, "type_id": type_id}}


def sequence(name, type_id):
    return {"Sequence": {"id": name, "type_id": type_id}}


def normalisation_rules():
    """Our own rules for sentencepiece: NFKC of the common blocks, base + mark pairs, spaces unified, controls dropped."""
    rules = {}
    blocks = [(0xA0, 0x250), (0x370, 0x400), (0x2000, 0x2200), (0x2460, 0x2474), (0x3000, 0x3100), (0xFB00, 0xFB07), (0xFF01, 0xFFEF)]
    for low, high in blocks:
        for point in range(low, high):
            target = unicodedata.normalize("NFKC", chr(point))
            if target != chr(point):
                rules[chr(point)] = target
    for base in "aeioucnszyAEIOUCNSZY\u3042\u304b\u306f":
        for mark in "\u0300\u0301\u0302\u0303\u0308\u030a\u0327\u030c\u3099\u309a":
            composed = unicodedata.normalize("NFC", base + mark)
            if len(composed) == 1:
                rules[base + mark] = composed
    for point in [*range(1, 9), 0xB, *range(0xE, 0x20), 0x7F, 0x8F, 0x9F, 0xAD]:
        rules[chr(point)] = ""
    for point in [9, 0xA, 0xC, 0xD, 0xA0, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0x2581]:
        rules[chr(point)] = " "
    hexes = lambda string: " ".join(f"{ord(c):X}" for c in string)
    return "".join(f"{hexes(source)}\t{hexes(target)}\n" for source, target in sorted(rules.items()))


if __name__ == "__main__":
    main()
