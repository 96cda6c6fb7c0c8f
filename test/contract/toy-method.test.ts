import { expect, test } from 'vitest';
import { z } from 'zod';
import { memoryFiles } from '../../src/base/files.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32 } from '../../src/base/tensor.ts';
import { ADAPTER_CONFIG, loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { add } from '../../src/graph/index.ts';
import { adapterPath, bindAdapter, configureMethod, METHODS, type Method, methodNames, modules } from '../../src/methods/index.ts';
import { createHead, headParameters } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { forward, readCases, relativeError } from '../golden/forward.ts';

/**
 * A whole method from outside: one trained vector is added after each feed-forward block. It shows that a new method needs
 * one object, and that configuration, folders and programs take it as they take our own (docs/adding-a-method.md).
 */
const schema = z.strictObject({
  architecture: z.literal('shift').default('shift'),
  leave_out: z.array(z.number().int().nonnegative()).default([]),
  strength: z.number().default(1),
});
type ShiftConfig = z.infer<typeof schema>;

const SHIFT: Method<ShiftConfig> = {
  name: 'shift',
  summary: 'a trained vector after each feed-forward block',
  paper: 'none: a toy',
  architecture: 'shift',
  schema,
  presets: { shift: {}, strong_shift: { strength: 2 } },
  floatKeys: ['strength'],
  trainsEncoder: false,
  learningRate: 1e-2,
  mixesTokens: () => false,
  parameters: ({ leave_out, strength }, context) =>
    modules(context.encoder, leave_out).map((module) => ({
      name: `${adapterPath(context, 'output', module)}.shift`,
      shape: [context.encoder.hidden],
      init: { kind: 'normal', deviation: strength },
      decay: false,
    })),
  acts: ({ leave_out }, context, read) => ({
    residual({ place, module }) {
      if (place !== 'output' || leave_out.includes(module)) return undefined;
      return { apply: ({ h }) => ({ h: add(h, read(`${adapterPath(context, 'output', module)}.shift`)) }) };
    },
  }),
};

const methods = [...METHODS, SHIFT as unknown as Method];

test('the registry knows it by its presets and its architecture', () => {
  expect(methodNames(methods)).toEqual([...methodNames(), 'shift', 'strong_shift']);
  expect(configureMethod('strong_shift[leave_out=[1]]', {}, methods).config).toEqual({
    architecture: 'shift',
    leave_out: [1],
    strength: 2,
  });
  expect(() => configureMethod('shift[strenght=3]', {}, methods)).toThrow("Did you mean 'strength'?");
  expect(() => configureMethod('shift')).toThrow("found 'shift'");
});

test('it runs, changes the output where it sits, and comes back from a folder the same', async () => {
  const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
  const method = configureMethod('shift', { leave_out: [0] }, methods);
  const specs = method.method.parameters(method.config, { encoder: encoder.config, family: encoder.family, name: 'toy' });
  expect(specs.map(({ name }) => name)).toEqual([1, 2].map((layer) => `bert.encoder.layer.${layer}.output.adapters.toy.shift`));
  const tensors = new Map(
    specs.map(({ name, shape }, i) => [
      name,
      float32(
        shape,
        Float32Array.from({ length: 32 }, (_, j) => Math.sin(i + j)),
      ),
    ]),
  );
  const made = createHead('toy', { head_type: 'classification', num_labels: 2, label2id: { no: 0, yes: 1 } });
  const weights = headParameters(made, encoder.config).map(
    ({ name, shape }) =>
      [
        name,
        float32(
          shape,
          new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.1).map((x, i) => x * (i % 7)),
        ),
      ] as const,
  );
  const head = { ...made, tensors: new Map(weights) };

  const files = memoryFiles();
  await saveAdapter(files, 'toy', { name: 'toy', method, tensors, head, model: encoder });
  expect(new TextDecoder().decode(await files.read(`toy/${ADAPTER_CONFIG}`))).toContain('"strength": 1.0');
  await expect(loadAdapter(files, 'toy', { encoder })).rejects.toMatchObject({ code: 'method.config' });
  const loaded = await loadAdapter(files, 'toy', { encoder, methods });
  expect(loaded.notes).toEqual([]);
  expect(loaded.tensors).toEqual(tensors);

  const { batch } = readCases<{ batch: Parameters<typeof forward>[2] }>('heads/heads.json');
  const run = async (options: Partial<Parameters<typeof forward>[1]>) =>
    (
      await forward(
        await nodeEngine({ threads: 1 }),
        { encoder, name: 'toy', head, tensors: new Map([...tensors, ...head.tensors]), ...options },
        batch,
      )
    ).logits;
  const all = await run({ method: loaded.method });
  expect(relativeError(await run({ method: loaded.method, read: 'first' }), Array.from(all?.data ?? [], Number))).toBeLessThan(1e-6);
  const plain = await run({});
  expect(relativeError(plain, Array.from(all?.data ?? [], Number))).toBeGreaterThan(0.1);
});

test('it can be a member of a union, which acts like a stack of its members and comes back from a folder the same', async () => {
  const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
  const facts = { encoder: encoder.config, family: encoder.family };
  const method = configureMethod('strong_shift|lora[r=2]', {}, methods);
  expect(() => configureMethod('strong_shift|lora[r=2]')).toThrow("found 'strong_shift'");
  const { parameters } = bindAdapter(method, { ...facts, name: 'toy' });
  expect(parameters).toHaveLength(3 + 3 * 2 * 2);
  const tensors = new Map(
    parameters.map(({ name, shape }, i) => [
      name,
      float32(
        shape,
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, j) => 0.1 * Math.sin(i + j)),
      ),
    ]),
  );
  const files = memoryFiles();
  await saveAdapter(files, 'toy', { name: 'toy', method, tensors, model: encoder });
  const written = new TextDecoder().decode(await files.read(`toy/${ADAPTER_CONFIG}`));
  expect(written).toContain('"strength": 2.0');
  await expect(loadAdapter(files, 'toy', { encoder })).rejects.toMatchObject({ code: 'method.config' });
  const loaded = await loadAdapter(files, 'toy', { encoder, methods });
  expect(loaded.tensors).toEqual(tensors);
  expect(loaded.method.config).toEqual(method.config);

  const { batch } = readCases<{ batch: Parameters<typeof forward>[2] }>('heads/heads.json');
  const hidden = async (options: Partial<Parameters<typeof forward>[1]>) =>
    Array.from(
      (await forward(await nodeEngine({ threads: 1 }), { encoder, name: 'toy', tensors, ...options }, batch)).hidden?.data ?? [],
      Number,
    );
  const together = await hidden({ method: loaded.method });
  for (const text of ['strong_shift', 'lora[r=2]']) {
    const apart = await hidden({ method: configureMethod(text, {}, methods) });
    expect(Math.max(...together.map((x, i) => Math.abs(x - (apart[i] as number))))).toBeGreaterThan(0.01);
  }
});
