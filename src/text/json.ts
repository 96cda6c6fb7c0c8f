import { fail } from '../base/index.ts';
import { WHITE_SPACE } from './unicode.ts';

/** Reading tokenizer.json: each accessor names the place when a value is not what it should be. */
export type Json = Readonly<Record<string, unknown>>;

export function asObject(value: unknown, place: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  return wrong(place, value, 'an object');
}

export function part(json: Json, key: string): Json | null {
  const value = json[key];
  return value === undefined || value === null ? null : asObject(value, key);
}

export function text(json: Json, key: string, place: string): string {
  const value = json[key];
  return typeof value === 'string' ? value : wrong(`${place}, ${key}`, value, 'a string');
}

export function optionalText(json: Json, key: string): string | null {
  const value = json[key];
  return typeof value === 'string' ? value : null;
}

export function integer(json: Json, key: string, place: string): number {
  const value = json[key];
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : wrong(`${place}, ${key}`, value, 'an integer ≥ 0');
}

export function flag(json: Json, key: string, fallback: boolean): boolean {
  const value = json[key];
  return typeof value === 'boolean' ? value : fallback;
}

export function listOf(json: Json, key: string): Json[] {
  const value = json[key];
  return Array.isArray(value) ? value.map((item) => asObject(item, key)) : wrong(key, value, 'a list');
}

/** A `{"String": …}` or `{"Regex": …}` pattern as a global regular expression. Oniguruma's syntax is translated where it differs. */
export function patternOf(json: Json, place: string): RegExp {
  const pattern = asObject(json.pattern, `${place}, pattern`);
  if (typeof pattern.String === 'string') return new RegExp(escapeRegExp(pattern.String), 'gu');
  const source = text(pattern, 'Regex', place);
  try {
    return new RegExp(translate(source), 'gu');
  } catch (cause) {
    return fail({
      code: 'text.tokenizer',
      subject: `tokenizer.json, ${place}`,
      found: `a pattern that cannot be translated: ${source}`,
      cause,
    });
  }
}

export function escapeRegExp(value: string): string {
  return value.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function translate(source: string): string {
  return source
    .replaceAll(
      /\(\?i:([^()]*)\)/g,
      (_, body: string) => `(?:${body.replaceAll(/[a-z]/gi, (c) => `[${c.toLowerCase()}${c.toUpperCase()}]`)})`,
    )
    .replaceAll(/\[(?:\\.|[^\]\\])*\]|\\[sS]/g, (item) => {
      if (item === '\\s') return `[${WHITE_SPACE}]`;
      if (item === '\\S') return `[^${WHITE_SPACE}]`;
      return item.replaceAll(/\\s/g, WHITE_SPACE);
    })
    .replaceAll(/\\p\{(Alpha|alpha)\}/g, '\\p{Alphabetic}');
}

function wrong(place: string, value: unknown, expected: string): never {
  return fail({
    code: 'text.tokenizer',
    subject: `tokenizer.json, ${place}`,
    found: value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value)).slice(0, 60),
    expected,
    next: 'Save the tokenizer again with a current version of the library that made it.',
  });
}
