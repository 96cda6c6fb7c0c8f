import { float32, int32 } from '../base/index.ts';
import { normalisedEntropy } from '../batch/index.ts';
import { multiplyDims } from '../graph/index.ts';
import type { TaggingRow } from '../tasks/index.ts';
import type { Encoding } from '../text/index.ts';
import { argmax, labelsOf, mean, oneHot } from './answers.ts';
import { fixedTokens, type LabelConfig, labelDefaults, labelHead } from './dense.ts';
import type { HeadKind } from './kind.ts';
import { crossEntropy } from './loss.ts';
import type { Target } from './unit.ts';

/** One label per token, −1 where none is asked. */
interface TokensTarget extends Target {
  readonly kind: 'tokens';
  readonly labels: Int32Array;
}

const TOKENS = multiplyDims('B', 'S');

/** One label a word, at its first token. */
export const TAGGING: HeadKind<LabelConfig> = {
  ...labelHead('tagging', 'all', ['num_labels']),

  task: 'tagging',
  labelled: true,
  defaults: (task) => ({ ...labelDefaults(task), layers: 1 }),
  columns: () => ['tokens'],
  usualLength: 128,
  units(row, { labels, tokenizer, maxLength }) {
    const { tokens, tags } = row as Omit<TaggingRow, 'tags'> & Partial<TaggingRow>;
    const encoding = tokenizer.encodeWords(tokens, { maxLength });
    return [{ encodings: [encoding], target: tags && targetOf(encoding, tags, labels) }];
  },

  loss(_, logits, { input }) {
    return crossEntropy(logits, input('labels', 'int32', [TOKENS]), input('lossWeights', 'float32', [TOKENS]));
  },
  targets(_, { sequences, width, units }, weight) {
    const labels = new Int32Array(sequences * width);
    const weights = new Float32Array(sequences * width);
    for (const { unit, place } of units)
      (unit.target as TokensTarget).labels.forEach((label, i) => {
        if (label < 0) return;
        labels[place * width + i] = label;
        weights[place * width + i] = weight;
      });
    return { labels: int32([sequences * width], labels), lossWeights: float32([sequences * width], weights) };
  },
  terms: ({ target }) => (target as TokensTarget).labels.reduce((count, label) => count + Number(label >= 0), 0),

  // Words beyond the last token get the outside tag, or else the first label.
  answer(head, row, [unit]) {
    const labels = labelsOf(head);
    const { tokens } = row as TaggingRow;
    const tags = new Array<string>(tokens.length).fill(labels.includes('O') ? 'O' : (labels[0] as string));
    const scores = new Array<readonly number[]>(tokens.length).fill([]);
    const encoding = unit?.unit.encodings[0];
    encoding?.wordIds.forEach((word, i) => {
      if (!isFirstOfWord(encoding, i)) return;
      const logits = unit?.logits.subarray(i * labels.length, (i + 1) * labels.length) as Float32Array;
      tags[word] = labels[argmax(logits)] as string;
      scores[word] = [...logits];
    });
    return { prediction: tags, logits: scores };
  },
  // Of a tagged row those tokens count that carry a label.
  entropy: {
    single: false,
    of({ config: { num_labels } }, { target, length }, logits) {
      const marked = (target as TokensTarget | undefined)?.labels ?? new Int32Array(length);
      return mean(
        Array.from(marked.keys()).flatMap((i) =>
          (marked[i] as number) < 0 ? [] : [normalisedEntropy(logits, i * num_labels, num_labels)],
        ),
      );
    },
  },
  questions({ target }, labels) {
    const marked = (target as TokensTarget | undefined)?.labels ?? [];
    return Array.from(marked).flatMap((label, token) => (label < 0 ? [] : [{ sequence: 0, token, answers: oneHot(labels, label) }]));
  },
  fixed: (family) => fixedTokens('TokenClassification', 'classifier', family, 'TOKEN_CLS'),
};

function targetOf(encoding: Encoding, tags: readonly string[], labels: readonly string[]): TokensTarget {
  return {
    kind: 'tokens',
    labels: encoding.wordIds.map((word, i) => (isFirstOfWord(encoding, i) ? labels.indexOf(tags[word] as string) : -1)),
  };
}

function isFirstOfWord({ wordIds }: Encoding, token: number): boolean {
  const word = wordIds[token] as number;
  return word >= 0 && word !== wordIds[token - 1];
}
