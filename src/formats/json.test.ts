import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJson, pythonJson } from './json.ts';

describe('parseJson', () => {
  it('agrees with JSON.parse on what it accepts', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text, 'x')).toEqual(JSON.parse(text));
      }),
      { seed: 1 },
    );
  });

  it.each([
    '{"a":1,}',
    '[1,]',
    '01',
    '1.',
    '.5',
    '+1',
    '"\t"',
    '"\\x"',
    '"\\u12"',
    'nul',
    "'a'",
    '',
    '[',
    '{"a"',
    '1 2',
    'NaN',
    '1e999',
    '{a:1}',
  ])('refuses %j', (text) => {
    expect(() => parseJson(text, 'x')).toThrow(expect.objectContaining({ code: 'file.syntax' }));
  });

  it('says where', () => {
    expect(() => parseJson('{\n  "a": [1,\n  x]\n}', 'c.json')).toThrow('c.json:3:3: found "x"; expected a value.');
  });

  it.each(['{"a": 1, "a": 2}', '{"a": 1, "\\u0061": 1}', '[{"__proto__": 1, "__proto__": 2}]'])(
    'refuses the same key twice: %s',
    (text) => {
      expect(() => parseJson(text, 'x')).toThrow(expect.objectContaining({ code: 'file.duplicate-key' }));
    },
  );

  it('keeps a key named __proto__ a plain key', () => {
    const value = parseJson('{"__proto__": {"polluted": true}}', 'x');
    expect(Object.keys(value as object)).toEqual(['__proto__']);
    expect((value as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('limits depth and length', () => {
    const deep = (n: number) => '['.repeat(n) + ']'.repeat(n);
    expect(parseJson(deep(128), 'x')).toBeInstanceOf(Array);
    expect(() => parseJson(deep(129), 'x')).toThrow(expect.objectContaining({ code: 'file.too-large' }));
    expect(() => parseJson(deep(1_000_000), 'x')).toThrow(expect.objectContaining({ code: 'file.too-large' }));
    expect(() => parseJson('[1, 2]', 'x', { length: 5 })).toThrow(expect.objectContaining({ code: 'file.too-large' }));
  });
});

it('reads what Python reads beside, where it is asked to', () => {
  const text = '{"a": NaN, "b": [Infinity, -Infinity, 1e999, -0.0], "c": 1, "c": {"d": 2}}';
  const read = parseJson(text, 'x', { python: true });
  expect(read).toEqual({
    a: Number.NaN,
    b: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, -0],
    c: { d: 2 },
  });
  for (const wrong of ['nan', '-NaN', 'Inf', '[NaNa]', '{"a": 1,}', "{'a': 1}", '[+Infinity]'])
    expect(() => parseJson(wrong, 'x', { python: true })).toThrow(expect.objectContaining({ code: 'file.syntax' }));
});

describe('pythonJson', () => {
  it('writes as json.dumps(indent=2, sort_keys=True) does', () => {
    const value = { b: [1, 'é\u007f😀\n"'], a: { empty: {}, none: null, list: [] }, scaling: 1, gone: undefined, Z: true };
    expect(pythonJson(value, { floatKeys: ['scaling'] })).toBe(
      [
        '{',
        '  "Z": true,',
        '  "a": {',
        '    "empty": {},',
        '    "list": [],',
        '    "none": null',
        '  },',
        '  "b": [',
        '    1,',
        '    "\\u00e9\\u007f\\ud83d\\ude00\\n\\""',
        '  ],',
        '  "scaling": 1.0',
        '}',
      ].join('\n'),
    );
  });

  it('has a form on one line for hashes', () => {
    expect(pythonJson({ b: 1, a: [1, 2] }, { indent: null })).toBe('{"a": [1, 2], "b": 1}');
  });

  // Each pair printed by Python 3.11: json.dumps(float(x)).
  it.each([
    [0, '0.0'],
    [4, '4.0'],
    [-0, '-0.0'],
    [0.1, '0.1'],
    [0.0001, '0.0001'],
    [0.00001, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [1e15, '1000000000000000.0'],
    [1e16, '1e+16'],
    [1.5e300, '1.5e+300'],
    [123456.789, '123456.789'],
    [5e-324, '5e-324'],
  ])('writes the float %d as %s', (value, text) => {
    expect(pythonJson({ f: value }, { floatKeys: ['f'], indent: null })).toBe(`{"f": ${text}}`);
  });

  it('writes integers in full and floats under other keys as floats', () => {
    expect(pythonJson([16, 1e15, 0.5, 1e-5], { indent: null })).toBe('[16, 1000000000000000, 0.5, 1e-05]');
  });

  it('sorts by code point, as Python does', () => {
    expect(pythonJson({ '\uffff': 1, '😀': 2, a: 3 }, { indent: null })).toBe('{"a": 3, "\\uffff": 1, "\\ud83d\\ude00": 2}');
  });

  it('refuses what JSON cannot hold', () => {
    expect(() => pythonJson({ a: Number.NaN })).toThrow(/NaN/);
    expect(() => pythonJson({ a: 1n })).toThrow(/bigint/);
  });
});
