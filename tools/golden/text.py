"""Golden values for src/text: what Python's fast tokenizers give.

Writes test/golden/text/: small tokenizers trained here (WordPiece, byte-level BPE, Unigram with a Precompiled
normaliser), nasty.json's strings encoded in full, and hashes of encodings of real lines named by (task, split, line).

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
    for name, tokenizer, words_tokenizer in load(args.shared, args.out):
        cases = list(nasty_cases(nasty))
        golden = {"provenance": provenance(name), "nasty": [], "real": []}
        full = []
        for case in cases:
            encodings = encode(words_tokenizer if case["kind"] == "words" else tokenizer, case)
            record = {key: value for key, value in case.items() if key != "inputs"}
            golden["nasty"].append({**record, **flatten(encodings, case), "hash": hash_of(encodings, case)})
            full.append({**case, "encodings": [detail(e, case) for e in encodings]})
        for kind, task, split, fields, lines, options in REAL:
            rows = (args.shared / "data" / task / f"{split}.jsonl").read_text().split("\n")
            hashes, first = [], []
            for line in range(lines):
                case = real_case(kind, json.loads(rows[line]), fields, options, line)
                encodings = encode(words_tokenizer if kind == "words" else tokenizer, case)
                hashes.append(hash_of(encodings, case))
                if line < 5:
                    first.append([list(e.ids) for e in encodings])
                full.append({**case, "source": [task, split, line], "encodings": [detail(e, case) for e in encodings]})
            golden["real"].append(
                {"kind": kind, "task": task, "split": split, "fields": fields, "options": options, "firstIds": first, "hashes": hashes}
            )
        (args.out / f"{name}.golden.json").write_text(dump(golden))
        print(name, len(cases), sum(len(r["hashes"]) for r in golden["real"]))
        if args.full:
            (args.full / f"{name}.full.json").write_text(json.dumps(full))


def dump(golden):
    lines = ["{", '"provenance": ' + json.dumps(golden["provenance"]) + ",", '"nasty": [']
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
    """The list of encodings; None when Python refuses (a sequence too short to cut)."""
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


def detail(encoding, case):
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
        "types": list(encoding.type_ids),
        "special": list(encoding.special_tokens_mask),
        "sequences": sequences,
        "words": words,
        "offsets": offsets,
    }


def flatten(encodings, case):
    if not encodings:
        return {"refused": True}
    d = detail(encodings[0], case)
    return {"ids": d["ids"], "offsets": d["offsets"], "words": d["words"]} if case["kind"] == "single" else {"ids": d["ids"]}


def hash_of(encodings, case):
    state = 0x811C9DC5
    for encoding in encodings:
        d = detail(encoding, case)
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
    albert = transformers.PreTrainedTokenizerFast(tokenizer_file=str(out / "albert.tokenizer.json"))
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
        # ALBERT's chain of normalisers over the same vocabulary.
        state = json.loads((out / "unigram.tokenizer.json").read_text())
        precompiled = next(n for n in state["normalizer"].get("normalizers", [state["normalizer"]]) if n["type"] == "Precompiled")
        state["normalizer"] = {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
                {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
                {"type": "NFKD"},
                {"type": "StripAccents"},
                {"type": "Lowercase"},
                precompiled,
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        }
        state["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}],
        }
        state["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [special("<s>", 0), sequence("A", 0), special("</s>", 0)],
            "pair": [special("<s>", 0), sequence("A", 0), special("</s>", 0), sequence("B", 1), special("</s>", 1)],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in (("<s>", 0), ("</s>", 2))},
        }
        (out / "albert.tokenizer.json").write_text(json.dumps(state, ensure_ascii=False, separators=(",", ":")) + "\n")


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
