"""A tuned 1-2-gram TF-IDF linear baseline for task folders.

Logistic regression (L2) for classification, ridge regression for regression; C (1 / alpha), sublinear tf and min_df are chosen
on the validation split, the model is fitted on the training split alone and scored once on the test split. A text pair becomes
two feature blocks.

Run: python tools/baselines/tfidf.py TASKFOLDER [...] > results/baselines/tfidf.json
"""
import itertools
import json
import pathlib
import platform
import sys
import warnings

import scipy
import sklearn
from scipy.sparse import hstack
from scipy.stats import pearsonr
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

STRENGTHS = (0.1, 1, 10, 100)


def main(folders):
    tasks = {}
    for folder in folders:
        folder = pathlib.Path(folder)
        card = json.loads((folder / "card.json").read_text())
        if card["kind"] in ("classification", "regression"):
            tasks[card["name"]] = baseline(folder, card["kind"])
            print(card["name"], tasks[card["name"]], file=sys.stderr)
    versions = {"python": platform.python_version(), "scikit-learn": sklearn.__version__, "scipy": scipy.__version__}
    json.dump({"generator": "tools/baselines/tfidf.py", "versions": versions, "ngrams": [1, 2], "tasks": tasks}, sys.stdout, indent=1)
    print()


def baseline(folder, kind):
    train, validation, test = (read(folder / f"{split}.jsonl") for split in ("train", "validation", "test"))
    best = None
    for sublinear, min_df in itertools.product((False, True), (1, 2)):
        encode = fit_features(train, sublinear, min_df)
        features = encode(train)
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=2000) if kind == "classification" else Ridge(alpha=1 / strength)
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                model.fit(features, labels(train))
            score = evaluate(kind, model, encode(validation), labels(validation))
            if best is None or score > best["validation"]:
                best = {"validation": score, "C": strength, "sublinear": sublinear, "minDf": min_df, "features": features.shape[1],
                        "test": evaluate(kind, model, encode(test), labels(test))}
    metric = "accuracy" if kind == "classification" else "pearson"
    return {"metric": metric, **{k: round(v, 4) if isinstance(v, float) else v for k, v in best.items()}}


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def labels(rows):
    return [row["label"] for row in rows]


def fit_features(rows, sublinear, min_df):
    columns = [column for column in ("text", "textPair") if column in rows[0]]
    blocks = {}
    for column in columns:
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=sublinear, min_df=min_df, token_pattern=r"(?u)\b\w+\b")
        blocks[column] = vectorizer.fit([row[column] for row in rows])
    return lambda some: hstack([block.transform([row[column] for row in some]) for column, block in blocks.items()]).tocsr()


def evaluate(kind, model, features, truth):
    if kind == "classification":
        return float(model.score(features, truth))
    return float(pearsonr(model.predict(features), truth).statistic)


if __name__ == "__main__":
    main(sys.argv[1:])
