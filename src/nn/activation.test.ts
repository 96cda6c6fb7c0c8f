import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { float32 } from '../base/tensor.ts';
import { nodeEngine } from '../session/node.ts';
import { checkGradient, projection } from '../testing/index.ts';
import { ACTIVATIONS, activation } from './activation.ts';

interface Golden {
  readonly inputs: number[];
  readonly leftOut: Record<string, string>;
  readonly cases: Record<string, { outputs: number[]; slopes: number[] }>;
}

const golden = JSON.parse(readFileSync(new URL('../../test/golden/activations.json', import.meta.url), 'utf8')) as Golden;
const weights = projection(golden.inputs.length);

describe('every activation of transformers and adapters', () => {
  it.each(Object.entries(golden.cases))('%s has their values and slopes', async (name, { outputs, slopes }) => {
    const { worst } = await checkGradient({
      name,
      inputs: { x: float32([golden.inputs.length], golden.inputs) },
      shapes: { x: ['N'] },
      build: ({ x }) => activation(name, 'encoder.config')(x as NonNullable<typeof x>),
      engines: [await nodeEngine({ threads: 1 })],
      expected: { output: outputs, gradients: { x: slopes.map((slope, i) => slope * (weights[i] as number)) } },
      // Constants such as 0.044715 are float32 in the program; the engine's own erf and tanh are polynomials.
      tolerance: { output: 1e-7, gradient: 2e-7, engine: 2e-6 },
    });
    expect(Object.keys(worst).sort()).toEqual(['engine', 'finiteDifference', 'gradient', 'output']);
  });

  it('is known here, and no other', () => {
    expect(Object.keys(golden.cases).sort()).toEqual(Object.keys(ACTIVATIONS).sort());
    expect(Object.keys(ACTIVATIONS).length).toBe(21);
    expect(Object.keys(golden.leftOut)).toEqual(['prelu', 'xielu']);
    for (const name of Object.keys(golden.leftOut))
      expect(() => activation(name, 'method.config')).toThrow(`activation function: found '${name}'; expected one of gelu,`);
  });
});

it('an activation is found whatever its case, and a slip of the hand is named', () => {
  expect(() => activation('constructor', 'head.config')).toThrow("found 'constructor'");
  expect(activation('GELU', 'head.config')).toBe(ACTIVATIONS.gelu);
  expect(() => activation('geluu', 'head.config')).toThrow("Did you mean 'gelu'?");
});
