import { fail, float32, type Tensor } from '../base/index.ts';
import { type Value, weight } from '../graph/index.ts';
import { encoderFacts, methodOfConfig } from '../methods/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { type Attached, adapterTensors } from './attached.ts';
import type { ModelState } from './model-state.ts';

/**
 * An adapter with the numbers that it computes from its own parameters alone in place of these.
 * @throws adapter.missing, method.config for one that computes none
 */
export async function ejected({ adapters, encoder, kinds }: ModelState, name: string): Promise<Attached> {
  const attached = adapters.get(name);
  const { method, config, text } = attached.method;
  const context = { ...encoderFacts(encoder), name };
  const tensors = await adapterTensors(name, attached, encoder);
  const read = (path: string): Value => weight(path, 'float32', (tensors.get(path) as Tensor).shape);
  const made = method.eject?.(config, context, read);
  if (!made)
    return fail({
      code: 'method.config',
      subject: `adapter '${name}'`,
      found: `'${text}'`,
      expected: 'a prefix that a network computes: prefix_tuning that is not flat, or a union with one',
    });
  const session = await referenceEngine().compile({ outputs: Object.fromEntries(made.values) }, tensors);
  const results = await session.run({});
  await session.release();
  const value = (path: string): Tensor => {
    const { shape, data } = results[path] ?? (tensors.get(path) as Tensor);
    return float32(shape, Float32Array.from(data as ArrayLike<number>));
  };
  const parameters = method.parameters(made.config, context).map((spec): [string, Tensor] => [spec.name, value(spec.name)]);
  return { method: methodOfConfig(made.config, `adapter '${name}'`, { methods: kinds.methods }), tensors: new Map(parameters) };
}
