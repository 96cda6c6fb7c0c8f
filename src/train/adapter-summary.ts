import { elementCount } from '../base/tensor.ts';
import type { Encoder } from '../encoders/index.ts';
import type { ConfiguredMethod } from '../methods/index.ts';
import type { SummaryRow } from './auto-adapter-options.ts';

/** Numbers of parameters of what is grafted onto an encoder; the encoder last. @throws method.site */
export function summarize(
  encoder: Encoder,
  adapters: readonly { readonly name: string; readonly method: ConfiguredMethod; readonly active: boolean }[],
): SummaryRow[] {
  const total = [...encoder.weights.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const rows = adapters.map(({ name, method: { method, config }, active }): SummaryRow => {
    const own = method.parameters(config, { encoder: encoder.config, family: encoder.family, name });
    const parameters = own.reduce((sum, { shape }) => sum + elementCount(shape), method.trainsEncoder ? total : 0);
    return { name, architecture: method.name, parameters, percent: (100 * parameters) / total, active, train: active };
  });
  return [
    ...rows,
    {
      name: encoder.name,
      architecture: `${encoder.family.name} (encoder)`,
      parameters: total,
      percent: 100,
      active: true,
      train: adapters.some(({ method, active }) => active && method.method.trainsEncoder),
    },
  ];
}
