import { expect, it } from 'vitest';
import { type EncoderFamily, FAMILIES } from '../encoders/index.ts';
import { BLOCKS, METHODS, type Method } from '../methods/index.ts';
import { HEAD_KINDS } from '../objectives/index.ts';
import { type Extensions, kindsWith } from './extensions.ts';

const [method] = METHODS as unknown as [Method];
const other: Method = { ...method, name: 'other', presets: { other: {} }, architecture: 'other' };

it('what is from outside comes after the package’s own', () => {
  expect(kindsWith({})).toEqual({ families: FAMILIES, methods: METHODS, blocks: BLOCKS, heads: HEAD_KINDS });
  const { methods } = kindsWith({ methods: [other] });
  expect(methods).toHaveLength(METHODS.length + 1);
  expect(methods.at(-1)).toBe(other);
  const claims: Method = { ...other, architecture: 'lora', claims: () => false };
  expect(kindsWith({ methods: [claims] }).methods.at(-1)).toBe(claims);
});

it.each<[string, Extensions, string]>([
  ['a family', { families: [FAMILIES[0] as EncoderFamily] }, 'found bert, which is there already'],
  ['a block', { blocks: BLOCKS.slice(0, 1) }, 'which is there already'],
  ['a head', { heads: HEAD_KINDS.slice(0, 1) }, 'found classification, which is there already'],
  ['a method twice', { methods: [other, other] }, 'found other, which is there already'],
  ['a preset', { methods: [{ ...other, presets: { lora: {} } }] }, 'found lora, which is there already'],
  ['an architecture', { methods: [{ ...other, architecture: 'lora' }] }, 'found the architecture lora, which is there already'],
  ['no list', { methods: other as unknown as Method[] }, 'found object; expected an array'],
])('%s is refused', (_, extensions, message) => {
  expect(() => kindsWith(extensions)).toThrow(message);
});
