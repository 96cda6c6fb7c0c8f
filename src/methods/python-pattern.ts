import { type ErrorCode, fail } from '../base/index.ts';

/** A regular expression of Python's, read: whether it matches the whole of a text, as `re.fullmatch` does. */
export type Pattern = (text: string) => boolean;

type Test = (character: string) => boolean;
type Node =
  | { readonly kind: 'one'; readonly test: Test }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly least: number; readonly most: number };

const LONGEST = 1000;
const MOST_REPEATS = 1000;
const CLASSES: Readonly<Record<string, Test>> = { d: (c) => /\d/.test(c), w: (c) => /\w/.test(c), s: (c) => /\s/.test(c) };

/**
 * Reads what Python's `re` and this have in common: characters, `.`, classes, `\d \w \s`, groups without names, `|`, `* + ? {m,n}`, and
 * `^ $` for the ends. Time is polynomial in the sizes of pattern and text whatever they are, so patterns may come from strangers' files.
 * @throws `code` naming what of the pattern is not read
 */
export function pythonPattern(source: string, code: ErrorCode, subject: string): Pattern {
  const root = parse(source, code, subject);
  return (text) => {
    const characters = [...text];
    return endsOf(root, 0, characters, new Map()).includes(characters.length);
  };
}

/** Where a match that begins at a place can end; each pair of node and place is worked out once. */
function endsOf(node: Node, at: number, text: readonly string[], known: Map<Node, Map<number, readonly number[]>>): readonly number[] {
  const before = known.get(node) ?? new Map<number, readonly number[]>();
  known.set(node, before);
  const found = before.get(at);
  if (found) return found;
  const from = (part: Node, places: Iterable<number>) => new Set([...places].flatMap((place) => endsOf(part, place, text, known)));
  const ends = (): Iterable<number> => {
    switch (node.kind) {
      case 'one':
        return at < text.length && node.test(text[at] as string) ? [at + 1] : [];
      case 'start':
        return at === 0 ? [at] : [];
      case 'end':
        return at === text.length ? [at] : [];
      case 'choice':
        return node.parts.flatMap((part) => endsOf(part, at, text, known));
      case 'sequence':
        return node.parts.reduce<Iterable<number>>((places, part) => from(part, places), [at]);
      case 'repeat': {
        let places: ReadonlySet<number> = new Set([at]);
        for (let count = 0; count < node.least; count++) places = from(node.part, places);
        const all = new Set(places);
        for (let count = node.least; count < node.most && places.size > 0; count++) {
          places = new Set([...from(node.part, places)].filter((place) => !all.has(place)));
          for (const place of places) all.add(place);
        }
        return all;
      }
    }
  };
  const result = [...new Set(ends())];
  before.set(at, result);
  return result;
}

function parse(source: string, code: ErrorCode, subject: string): Node {
  const text = [...source];
  let at = 0;
  if (text.length > LONGEST) refuse(`${text.length} characters`);
  const node = choice();
  if (at < text.length) refuse(`'${text[at]}' at ${at}`);
  return node;

  function refuse(found: string): never {
    return fail({
      code,
      subject: `${subject}: the pattern ${JSON.stringify(source.slice(0, 80))}`,
      found,
      expected: 'characters, classes, groups without names, |, *, +, ?, {m,n}, \\d, \\w, \\s and escaped signs',
      next: 'Name each module in full.',
    });
  }

  function choice(): Node {
    const parts = [sequence()];
    while (text[at] === '|') {
      at++;
      parts.push(sequence());
    }
    return { kind: 'choice', parts };
  }

  function sequence(): Node {
    const parts: Node[] = [];
    while (at < text.length && text[at] !== '|' && text[at] !== ')') parts.push(repeated());
    return { kind: 'sequence', parts };
  }

  function repeated(): Node {
    const part = single();
    const bounds = repeats();
    if (!bounds) return part;
    if (text[at] === '?') at++;
    if (text[at] === '+' || text[at] === '*' || text[at] === '?') refuse(`a repeat of a repeat at ${at}`);
    return { kind: 'repeat', part, ...bounds };
  }

  function repeats(): { least: number; most: number } | undefined {
    const sign = text[at];
    if (sign === '*' || sign === '+' || sign === '?') {
      at++;
      return { least: sign === '+' ? 1 : 0, most: sign === '?' ? 1 : Number.POSITIVE_INFINITY };
    }
    const [whole, least, comma, most] = /^\{(\d*)(,?)(\d*)\}/.exec(text.slice(at, at + 20).join('')) ?? [];
    if (sign !== '{') return undefined;
    if (whole === undefined || (least === '' && most === '')) return refuse(`'{' at ${at}`);
    at += whole.length;
    const from = Number(least);
    const to = comma === '' ? from : most === '' ? Number.POSITIVE_INFINITY : Number(most);
    if (from > to || from > MOST_REPEATS || (to > MOST_REPEATS && to !== Number.POSITIVE_INFINITY)) refuse(whole);
    return { least: from, most: to };
  }

  function single(): Node {
    const sign = text[at++] as string;
    switch (sign) {
      case '(': {
        if (text[at] === '?') {
          if (text[at + 1] !== ':') refuse(`'(?${text[at + 1] ?? ''}' at ${at - 1}`);
          at += 2;
        }
        const inner = choice();
        if (text[at++] !== ')') refuse("'(' without ')'");
        return inner;
      }
      case '[':
        return { kind: 'one', test: characterClass() };
      case '.':
        return { kind: 'one', test: (c) => c !== '\n' };
      case '^':
        return { kind: 'start' };
      case '$':
        return { kind: 'end' };
      case '\\':
        return { kind: 'one', test: escaped() };
      case '*':
      case '+':
      case '?':
      case '{':
        return refuse(`'${sign}' at ${at - 1}`);
      default:
        return { kind: 'one', test: (c) => c === sign };
    }
  }

  /** After a backslash: a class, or a sign that stands for itself. */
  function escaped(): Test {
    const sign = text[at++];
    if (sign === undefined) return refuse('a backslash at the end');
    const named = CLASSES[sign.toLowerCase()];
    if (named) return sign === sign.toLowerCase() ? named : (c) => !named(c);
    if (/[\w]/.test(sign)) return refuse(`'\\${sign}'`);
    return (c) => c === sign;
  }

  /** After '['. */
  function characterClass(): Test {
    const negated = text[at] === '^';
    if (negated) at++;
    const tests: Test[] = [];
    for (let first = true; first || text[at] !== ']'; first = false) {
      const sign = text[at++];
      if (sign === undefined) return refuse("'[' without ']'");
      if (sign === '\\') {
        tests.push(escaped());
        if (text[at] === '-' && text[at + 1] !== ']') refuse(`a range at ${at}`);
      } else if (text[at] === '-' && text[at + 1] !== undefined && text[at + 1] !== ']') {
        const last = text[at + 1] as string;
        if (last === '\\' || sign > last) refuse(`a range at ${at}`);
        at += 2;
        tests.push((c) => c >= sign && c <= last);
      } else tests.push((c) => c === sign);
    }
    at++;
    return (c) => tests.some((test) => test(c)) !== negated;
  }
}
