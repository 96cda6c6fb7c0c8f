import { ratio, type Score, undefinedScore } from './score.ts';

interface SpanScores {
  readonly precision: Score;
  readonly recall: Score;
  readonly f1: Score;
}

/** An entity in a tag sequence: tokens [start, end). */
interface Entity {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/**
 * Exact-match precision, recall and F1 over entities, pooled over all sentences, as seqeval scores by default
 * (the CoNLL-2000 rules): an entity is right when its type, first and last token are.
 */
export function spanScores(predictions: readonly (readonly string[])[], references: readonly (readonly string[])[]): SpanScores {
  const predicted = entities(flatten(predictions)).map(keyOf);
  const actual = new Set(entities(flatten(references)).map(keyOf));
  const right = new Set(predicted.filter((key) => actual.has(key))).size;
  const precision = ratio(right, new Set(predicted).size, 'no entity is predicted');
  const recall = ratio(right, actual.size, 'no entity is referred to');
  const sum = precision.value + recall.value;
  const f1 =
    predicted.length + actual.size === 0
      ? undefinedScore('no entity is predicted or referred to')
      : ratio(2 * precision.value * recall.value, sum || 1, '');
  return { precision, recall, f1 };
}

/**
 * The entities of a tag sequence, prefixes B I E S O. Sequences that break their scheme are read as the CoNLL evaluation does:
 * I- after O or after another type opens an entity (so IOB1 and IOB2 read alike), E- closes one, S- stands alone; a tag of
 * any other form is a prefix of one letter with the rest as its type.
 */
function entities(tags: readonly string[]): Entity[] {
  const found: Entity[] = [];
  let previous: Tag = { prefix: 'O', type: '' };
  let start = 0;
  for (let i = 0; i <= tags.length; i++) {
    const current = parseTag(tags[i] ?? 'O');
    if (closes(previous, current)) found.push({ type: previous.type, start, end: i });
    if (opens(previous, current)) start = i;
    previous = current;
  }
  return found;
}

interface Tag {
  readonly prefix: string;
  readonly type: string;
}

function parseTag(tag: string): Tag {
  const [prefix = 'O', ...rest] = tag;
  const tail = rest.join('');
  return { prefix, type: tail.slice(tail.indexOf('-') + 1) || '_' };
}

function closes(previous: Tag, current: Tag): boolean {
  if ('ES'.includes(previous.prefix)) return true;
  if ('BI'.includes(previous.prefix) && 'BSO'.includes(current.prefix)) return true;
  return isInside(previous) && previous.type !== current.type;
}

function opens(previous: Tag, current: Tag): boolean {
  if ('BS'.includes(current.prefix)) return true;
  if ('ESO'.includes(previous.prefix) && 'EI'.includes(current.prefix)) return true;
  return isInside(current) && previous.type !== current.type;
}

function isInside(tag: Tag): boolean {
  return tag.prefix !== 'O' && tag.prefix !== '.';
}

/** One sequence with an O after each sentence, so that no entity crosses sentences. */
function flatten(sentences: readonly (readonly string[])[]): string[] {
  return sentences.flatMap((tags) => [...tags, 'O']);
}

function keyOf({ type, start, end }: Entity): string {
  return `${start} ${end} ${type}`;
}
