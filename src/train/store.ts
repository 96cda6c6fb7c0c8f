import { fail, type Tensor } from '../base/index.ts';
import type { ParameterStore } from '../update/index.ts';

/** Takes up the values and moments of a saved run. @throws train.resume for those of another model, also among its best values */
export function restore(
  store: ParameterStore,
  { parameters, best }: { readonly parameters: ReadonlyMap<string, Tensor>; readonly best?: ReadonlyMap<string, Tensor> | undefined },
): void {
  for (const part of store.state().keys()) {
    const found = parameters.get(part)?.data.length;
    if (found !== store.size) refuse(part, found, store.size);
  }
  if (best)
    for (const [name, { data }] of store.values()) {
      const found = best.get(name)?.data.length;
      if (found !== data.length) refuse(`${name} of the best step`, found, data.length);
    }
  store.restore(parameters);
}

function refuse(what: string, found: number | undefined, expected: number): never {
  return fail({
    code: 'train.resume',
    subject: `the saved state, ${what}`,
    found: `${found ?? 'no'} numbers`,
    expected: `${expected}`,
    next: 'Start anew without --resume.',
  });
}

export function copies(values: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...values].map(([name, value]) => [name, { ...value, data: (value.data as Float32Array).slice() }]));
}
