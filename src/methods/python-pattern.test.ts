import { expect, test } from 'vitest';
import { pythonPattern } from './python-pattern.ts';

const matches = (source: string, text: string) => pythonPattern(source, 'method.config', 'linears')(text);

test.each([
  ['.*\\.layer\\.[02]\\.output\\.dense', 'bert.encoder.layer.2.output.dense', true],
  ['.*\\.layer\\.[02]\\.output\\.dense', 'bert.encoder.layer.1.output.dense', false],
  ['query', 'a.query', false],
  ['(?:.*\\.)?(query|value)', 'a.query', true],
  ['(.*\\.)?(query|value)$', 'value', true],
  ['^layer\\.\\d{1,2}\\.\\w+?', 'layer.10.ab', true],
  ['layer\\.\\d{3}', 'layer.10', false],
  ['[^.]+', 'a.b', false],
  ['[]a-c-]*', ']b-', true],
  ['(a?){3}b', 'b', true],
  ['a{,2}', 'aaa', false],
  ['\\D+\\.\\S', 'ab.9', true],
  ['|x', '', true],
])('%s on %s', (source, text, expected) => {
  expect(matches(source, text)).toBe(expected);
  expect(new RegExp(`^(?:${source.replace('[]', '[\\]').replace('{,', '{0,')})$`).test(text)).toBe(expected);
});

test('a pattern that makes others search for ever is answered at once', () => {
  expect(matches(`${'('.repeat(40)}a*${')*'.repeat(40)}b`, 'a'.repeat(200))).toBe(false);
  expect(matches('(a|aa|a*)+b', 'a'.repeat(200))).toBe(false);
});

test.each(['(?=a)', '(?P<n>a)', '\\bquery', 'a**', 'a++', '*a', '(a', 'a)', '[a', 'a{x}', 'a{2,1}', '\\1', 'a\\', '[\\d-z]', 'a{9999}'])(
  '%s is refused by name',
  (source) => {
    expect(() => matches(source, 'a')).toThrow(expect.objectContaining({ code: 'method.config' }));
  },
);
