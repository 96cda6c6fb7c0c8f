import { fail } from '../base/index.ts';

/**
 * The configuration strings of `adapters`: `name` or `name[key=value, …]`, values as Python literals
 * (True, False, None, numbers, 'text' with its escapes, [lists], (tuples), {'maps': 1}).
 * @throws method.config with the place
 */
export function parseGrammar(text: string): { name: string; values: Record<string, unknown> } {
  const match = /^\s*([\w+]+)\s*(?:\[(.*)\])?\s*$/s.exec(text);
  if (!match)
    return fail({
      code: 'method.config',
      subject: 'method',
      found: `'${text}'`,
      expected: 'name[key=value, …]',
      next: 'Write name or name[key=value, …].',
    });
  const [, name, body] = match as unknown as [string, string, string | undefined];
  return { name, values: body === undefined ? {} : parseBody(body, text) };
}

/** The parts of a union `a[…]|b`: the text cut at every `|` outside brackets and quotes. */
export function splitUnion(text: string): string[] {
  const tokens = text.match(/'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^'"]|['"]/gs) ?? [];
  const parts = [''];
  let depth = 0;
  for (const token of tokens) {
    if ('[{('.includes(token)) depth++;
    if (']})'.includes(token)) depth--;
    if (token === '|' && depth === 0) parts.push('');
    else parts[parts.length - 1] += token;
  }
  return parts;
}

function parseBody(body: string, whole: string): Record<string, unknown> {
  let at = 0;
  const wrong = (expected: string): never =>
    fail({ code: 'method.config', subject: `method '${whole}'`, found: `'${body.slice(at, at + 12)}' at character ${at}`, expected });
  const space = () => {
    while (/\s/.test(body[at] ?? '')) at++;
  };
  const take = (pattern: RegExp): string | undefined => {
    space();
    const found = new RegExp(pattern.source, 'y');
    found.lastIndex = at;
    const hit = found.exec(body)?.[0];
    if (hit !== undefined) at += hit.length;
    return hit;
  };
  const WORDS: Readonly<Record<string, unknown>> = { True: true, False: false, None: null, true: true, false: false, null: null };

  /** Texts that stand one behind the other are one. */
  const text = (): string | undefined => {
    let read: string | undefined;
    for (let quoted = take(TEXT); quoted !== undefined; quoted = take(TEXT)) read = (read ?? '') + (textOf(quoted) ?? wrong('a text'));
    return read;
  };
  /** Without a comma parentheses are no tuple. */
  const tuple = (): unknown => {
    const start = at;
    const items = sequence(/\)/, literal);
    return items.length === 1 && !/,\s*\)$/.test(body.slice(start, at)) ? items[0] : items;
  };
  const literal = (): unknown => {
    const word = take(/(True|False|None|true|false|null)\b/);
    if (word !== undefined) return WORDS[word];
    const number = take(NUMBER);
    if (number !== undefined) return numberOf(number);
    const quoted = text();
    if (quoted !== undefined) return quoted;
    if (take(/\[/) !== undefined) return sequence(/\]/, literal);
    if (take(/\(/) !== undefined) return tuple();
    if (take(/\{/) !== undefined) return Object.fromEntries(sequence(/\}/, pair(/:/)));
    return wrong('a value: True, False, None, a number, a quoted text, [list] or {map}');
  };
  const sequence = <T>(end: RegExp, element: () => T): T[] => {
    const items: T[] = [];
    while (take(end) === undefined) {
      items.push(element());
      if (take(/,/) === undefined) {
        if (take(end) === undefined) wrong("',' or the end of the list");
        break;
      }
    }
    return items;
  };
  const pair = (separator: RegExp) => (): [string, unknown] => {
    const key = take(/\w+(?!['"\w])/) ?? text() ?? wrong('a key');
    if (take(separator) === undefined && take(/:/) === undefined) wrong(`'${separator.source}' after '${key}'`);
    return [key, literal()];
  };
  return Object.fromEntries(sequence(/$/, pair(/=/)));
}

const NUMBER = /[-+]?(0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?)(?![\w.])/;
const TEXT = /[uUrR]?('(\\.|[^'\\])*'|"(\\.|[^"\\])*")/s;
const ESCAPE = /\\(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|[\s\S])/g;
const ESCAPED: Readonly<Record<string, string>> = {
  ...{ n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', f: '\f', v: '\v', '\n': '' },
  ...{ '\\': '\\', "'": "'", '"': '"' },
};

function numberOf(text: string): number {
  const plain = text.replaceAll('_', '');
  return plain.startsWith('-') ? -Number(plain.slice(1)) : Number(plain.replace('+', ''));
}

/** What a quoted text says; undefined for characters by name, which are not read. */
function textOf(quoted: string): string | undefined {
  const raw = /^[rR]/.test(quoted);
  const inner = quoted.replace(/^[uUrR]/, '').slice(1, -1);
  if (raw) return inner;
  if (/(?<!\\)(\\\\)*\\N/.test(inner)) return undefined;
  return inner.replace(ESCAPE, (whole, code: string) => {
    if (/^[xuU]./.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
    return ESCAPED[code] ?? whole;
  });
}

/** A value as {@link parseGrammar} reads it: a Python literal. */
export function formatLiteral(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'string') {
    const escaped = value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
    return escaped.includes("'") && !escaped.includes('"') ? `"${escaped}"` : `'${escaped.replaceAll("'", "\\'")}'`;
  }
  if (Array.isArray(value)) return `[${value.map(formatLiteral).join(', ')}]`;
  if (typeof value !== 'object') return String(value);
  return `{${Object.entries(value)
    .map(([key, inner]) => `'${key}': ${formatLiteral(inner)}`)
    .join(', ')}}`;
}
