import { fail } from '../base/index.ts';

/**
 * The configuration strings of `adapters`: `name` or `name[key=value, …]`, values as Python literals
 * (True, False, None, numbers, 'text', [lists], {'maps': 1}).
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
  const tokens = text.match(/'[^']*'|"[^"]*"|[^'"]|['"]/g) ?? [];
  const parts = [''];
  let depth = 0;
  for (const token of tokens) {
    if ('[{'.includes(token)) depth++;
    if (']}'.includes(token)) depth--;
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

  const literal = (): unknown => {
    const word = take(/(True|False|None|true|false|null)\b/);
    if (word !== undefined) return WORDS[word];
    const number = take(/[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?/);
    if (number !== undefined) return Number(number);
    const quoted = take(/'[^']*'|"[^"]*"/);
    if (quoted !== undefined) return quoted.slice(1, -1);
    if (take(/\[/) !== undefined) return sequence(/\]/, literal);
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
    const key = take(/\w+/) ?? take(/'[^']*'|"[^"]*"/)?.slice(1, -1) ?? wrong('a key');
    if (take(separator) === undefined) wrong(`'${separator.source}' after '${key}'`);
    return [key, literal()];
  };
  return Object.fromEntries(sequence(/$/, pair(/=/)));
}

/** A value as {@link parseGrammar} reads it: a Python literal. */
export function formatLiteral(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'string') return value.includes("'") ? `"${value}"` : `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(formatLiteral).join(', ')}]`;
  if (typeof value !== 'object') return String(value);
  return `{${Object.entries(value)
    .map(([key, inner]) => `'${key}': ${formatLiteral(inner)}`)
    .join(', ')}}`;
}
