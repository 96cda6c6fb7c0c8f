import { type Files, fail, invariant, readText } from '../base/index.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

interface JsonLimits {
  /** Largest nesting of arrays and objects. */
  readonly depth?: number;
  /** Largest text, in UTF-16 units. */
  readonly length?: number;
  /** Number of the text's first line, for a text that is a part of a file. */
  readonly line?: number;
  /** Reads what Python's json reads beside: NaN, Infinity, -Infinity, numbers beyond float64 as such, and the last of keys that stand twice. */
  readonly python?: boolean;
}

const ESCAPES: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** As Python writes them. */
const SPECIAL: readonly (readonly [string, number])[] = [
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
];

/**
 * Strict JSON (RFC 8259). Unlike `JSON.parse` it refuses keys that stand twice and says line and column.
 * Throws `file.syntax`, `file.duplicate-key`, `file.too-large` (text or nesting above the limits).
 */
export function parseJson(
  text: string,
  subject: string,
  { depth = 128, length = 2 ** 28, line = 1, python = false }: JsonLimits = {},
): Json {
  if (text.length > length) {
    fail({ code: 'file.too-large', subject, found: `${text.length} characters of JSON`, expected: `at most ${length}` });
  }
  const numeral = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
  let at = text.startsWith('\ufeff') ? 1 : 0;
  const result = value(0);
  blank();
  if (at < text.length) syntax('the end');
  return result;

  function value(nesting: number): Json {
    blank();
    const start = text[at];
    if (start === '"') return string();
    if (start === '{') return object(nesting + 1);
    if (start === '[') return array(nesting + 1);
    if (word('true')) return true;
    if (word('false')) return false;
    if (word('null')) return null;
    if (python) for (const [name, special] of SPECIAL) if (word(name)) return special;
    return number();
  }

  function object(nesting: number): Json {
    deeper(nesting);
    const members = new Map<string, Json>();
    at++;
    blank();
    if (text[at] === '}') at++;
    else {
      do {
        blank();
        if (text[at] !== '"') syntax('a key in double quotes');
        const keyAt = at;
        const key = string();
        if (members.has(key) && !python) {
          fail({ code: 'file.duplicate-key', subject: place(keyAt), found: `the key ${JSON.stringify(key)} a second time` });
        }
        blank();
        if (text[at++] !== ':') syntax('":"', at - 1);
        members.set(key, value(nesting));
        blank();
      } while (text[at] === ',' && at++ >= 0);
      if (text[at++] !== '}') syntax('"," or "}"', at - 1);
    }
    // Unlike assignment, this makes a key named __proto__ a plain property.
    return Object.fromEntries(members);
  }

  function array(nesting: number): Json {
    deeper(nesting);
    const result: Json[] = [];
    at++;
    blank();
    if (text[at] === ']') at++;
    else {
      do {
        result.push(value(nesting));
        blank();
      } while (text[at] === ',' && at++ >= 0);
      if (text[at++] !== ']') syntax('"," or "]"', at - 1);
    }
    return result;
  }

  function string(): string {
    const start = ++at;
    let result = '';
    let copied = start;
    for (;;) {
      const unit = text.charCodeAt(at);
      if (unit === 0x22) break;
      if (Number.isNaN(unit)) syntax('a closing double quote');
      if (unit < 0x20) syntax('an escape such as \\n in place of a control character');
      if (unit !== 0x5c) at++;
      else {
        result += text.slice(copied, at);
        const letter = text[at + 1] as string;
        if (letter === 'u') {
          const hex = text.slice(at + 2, at + 6);
          if (!/^[0-9a-fA-F]{4}$/.test(hex)) syntax('four hexadecimal digits after \\u');
          result += String.fromCharCode(Number.parseInt(hex, 16));
          at += 6;
        } else {
          result += ESCAPES[letter] ?? syntax('a known escape after the backslash');
          at += 2;
        }
        copied = at;
      }
    }
    result += text.slice(copied, at++);
    return result;
  }

  function number(): number {
    numeral.lastIndex = at;
    const found = numeral.exec(text)?.[0] ?? syntax('a value');
    const result = Number(found);
    if (!python && !Number.isFinite(result)) syntax('a number within the range of float64');
    at += found.length;
    return result;
  }

  function word(wanted: string): boolean {
    const same = text.startsWith(wanted, at);
    if (same) at += wanted.length;
    return same;
  }

  function blank(): void {
    for (;;) {
      const unit = text.charCodeAt(at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      at++;
    }
  }

  function deeper(nesting: number): void {
    if (nesting > depth) {
      fail({ code: 'file.too-large', subject: place(at), found: `nesting deeper than ${depth}`, expected: `at most ${depth} levels` });
    }
  }

  function syntax(expected: string, where = at): never {
    const found = where >= text.length ? 'the end of the text' : JSON.stringify(String.fromCodePoint(text.codePointAt(where) as number));
    return fail({ code: 'file.syntax', subject: place(where), found, expected });
  }

  function place(where: number): string {
    const before = text.slice(0, where);
    const lines = before.split('\n');
    return `${subject}:${line + lines.length - 1}:${(lines.at(-1) as string).length + 1}`;
  }
}

/** A JSON file. Throws what {@link parseJson} and `readText` throw. */
export async function readJson(files: Files, path: string, limits: JsonLimits = {}): Promise<Json> {
  return parseJson(await readText(files, path), path, limits);
}

export function isJsonObject(value: unknown): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface PythonJsonOptions {
  /** Keys whose numbers Python holds as float: `1` is written `1.0`. Holds for numbers in lists under the key too. */
  readonly floatKeys?: Iterable<string>;
  /** Spaces per level; null gives one line with `", "` and `": "`, the form that configuration hashes are taken of. */
  readonly indent?: number | null;
}

/**
 * The text that Python's `json.dumps(value, indent=2, sort_keys=True)` gives, byte for byte: sorted by code point,
 * everything outside ASCII escaped, floats as Python's `repr` writes them. Members that are `undefined` are left out.
 */
export function pythonJson(value: unknown, { floatKeys = [], indent = 2 }: PythonJsonOptions = {}): string {
  const floats = new Set(floatKeys);
  return write(value, false, 0);

  function write(value: unknown, float: boolean, level: number): string {
    if (value === null) return 'null';
    if (typeof value === 'boolean') return String(value);
    if (typeof value === 'string') return quote(value);
    if (typeof value === 'number') return pythonNumber(value, float);
    if (Array.isArray(value)) {
      return wrap(
        '[',
        value.map((item) => write(item, float, level + 1)),
        ']',
        level,
      );
    }
    invariant(isJsonObject(value), `a value that JSON cannot hold (${typeof value})`);
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => compareCodePoints(a, b));
    const written = members.map(([key, member]) => `${quote(key)}: ${write(member, floats.has(key), level + 1)}`);
    return wrap('{', written, '}', level);
  }

  function wrap(open: string, items: string[], close: string, level: number): string {
    if (items.length === 0) return open + close;
    if (indent === null) return open + items.join(', ') + close;
    const inner = `\n${' '.repeat(indent * (level + 1))}`;
    return `${open}${inner}${items.join(`,${inner}`)}\n${' '.repeat(indent * level)}${close}`;
  }
}

function quote(text: string): string {
  return JSON.stringify(text).replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Python's shortest repr: exponents from 1e16 up and below 1e-4, with at least two digits. */
function pythonNumber(value: number, float: boolean): string {
  invariant(Number.isFinite(value), `the number ${value} in JSON`);
  if (Number.isInteger(value) && !float) return Object.is(value, -0) ? '-0.0' : BigInt(value).toString();
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  const text = Object.is(value, -0) ? '-0' : String(value);
  return text.includes('.') ? text : `${text}.0`;
}

/** Python's string order; UTF-16 order differs from it beyond the basic plane. */
export function compareCodePoints(a: string, b: string): number {
  const left = Array.from(a, (c) => c.codePointAt(0) as number);
  const right = Array.from(b, (c) => c.codePointAt(0) as number);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return (left[i] as number) - (right[i] as number);
  }
  return left.length - right.length;
}
