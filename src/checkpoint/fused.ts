import { elementCount, fail, float32, type Tensor } from '../base/index.ts';
import { linearPath } from '../encoders/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import type { ModelFacts } from './facts.ts';

/**
 * Where a family keeps several linears in one matrix, `adapters` has one module for them: its tensors are those of the linears that an
 * adapter chose, one below the other, in the family's order. Here each linear has a module of its own.
 */
export function stackParts(tensors: readonly (readonly [string, Tensor])[], specs: readonly ParameterSpec[], model: ModelFacts) {
  const stacks = stacksOf(specs, model);
  const own = new Map(tensors);
  const stackOf = new Map(
    [...stacks].flatMap(([name, parts]) => parts.map((part, i) => [part.name, { name, parts, first: i === 0 }] as const)),
  );
  return tensors.flatMap(([key, value]): (readonly [string, Tensor])[] => {
    const stack = stackOf.get(key);
    if (!stack) return [[key, value]];
    return stack.first ? [[stack.name, oneBelowTheOther(stack.parts.map(({ name }) => own.get(name) as Tensor))]] : [];
  });
}

/** The other way round. @throws adapter.format for a stack of another shape */
export function partsOfStacks(
  found: ReadonlyMap<string, Tensor>,
  specs: readonly ParameterSpec[],
  model: ModelFacts,
  path: string,
): ReadonlyMap<string, Tensor> {
  const { prefix } = model.family;
  const parts = new Map(found);
  for (const [name, of] of stacksOf(specs, model)) {
    const key = [name, name.slice(prefix.length)].find((one) => found.has(one));
    if (key === undefined) continue;
    const value = found.get(key) as Tensor;
    const rows = of.reduce((sum, { shape }) => sum + (shape[0] as number), 0);
    const expected = [rows, ...(of[0]?.shape.slice(1) ?? [])];
    if (String(value.shape) !== String(expected))
      fail({
        code: 'adapter.format',
        subject: `${path}: ${key}`,
        found: `[${value.shape}]`,
        expected: `[${expected}]: ${of.length} linears of [${of[0]?.shape}]`,
        next: 'The weights belong to another configuration or another encoder.',
      });
    parts.delete(key);
    let start = 0;
    for (const { name: part, shape } of of) {
      const count = elementCount(shape);
      parts.set(part, { ...value, shape, data: value.data.subarray(start, start + count) } as Tensor);
      start += count;
    }
  }
  return parts;
}

/** The names of stacks, and which parameters lie in each. */
export function stacksOf<Named extends Pick<ParameterSpec, 'name'>>(
  specs: readonly Named[],
  { family, config }: ModelFacts,
): Map<string, Named[]> {
  const stacks = new Map<string, Named[]>();
  for (const { name, parts = [] } of family.linears)
    for (const part of parts)
      for (let module = 0; module < config.groups; module++) {
        const [whole, own] = [linearPath(family, name, module), linearPath(family, part, module)];
        for (const spec of specs) {
          if (!spec.name.startsWith(`${own}.`)) continue;
          const key = whole + spec.name.slice(own.length);
          stacks.set(key, [...(stacks.get(key) ?? []), spec]);
        }
      }
  return stacks;
}

function oneBelowTheOther(parts: readonly Tensor[]): Tensor {
  const shape = [parts.reduce((sum, part) => sum + (part.shape[0] as number), 0), ...(parts[0]?.shape.slice(1) ?? [])];
  const data = new Float32Array(elementCount(shape));
  let start = 0;
  for (const part of parts) {
    data.set(part.data as Float32Array, start);
    start += part.data.length;
  }
  return float32(shape, data);
}
