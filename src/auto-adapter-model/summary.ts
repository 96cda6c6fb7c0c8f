import { totalElements } from '../base/index.ts';
import { fusionSpecs } from '../checkpoint/index.ts';
import { adaptersOf, type Composition, type ConfiguredMethod, encoderFacts, fusionsOf } from '../methods/index.ts';
import { fusionFacts, type ModelState } from './model-state.ts';
import type { SummaryRow } from './options.ts';

/**
 * Numbers of parameters of what is attached to an encoder, the encoder last. Methods `asIf` are counted as if the last of them
 * were active.
 * @throws method.site
 */
export function summarize(state: ModelState, active: Composition | undefined, asIf: readonly ConfiguredMethod[]): SummaryRow[] {
  const { encoder, adapters, fusions } = state;
  const total = totalElements(encoder.weights.values());
  const [on, fused] = active === undefined ? [[], []] : [adaptersOf(active), fusionsOf(active).map(({ name }) => name)];
  const line = (name: string, architecture: string, parameters: number, isActive: boolean, train: boolean): SummaryRow => ({
    name,
    architecture,
    parameters,
    percent: (100 * parameters) / total,
    active: isActive,
    train,
  });
  const ofMethod = (name: string, { method, config }: ConfiguredMethod, isActive: boolean, train: boolean) => {
    const added = totalElements(method.parameters(config, { ...encoderFacts(encoder), name }));
    return line(name, method.name, added + (method.trainsEncoder ? total : 0), isActive, train);
  };
  return [
    // Adapters of a composition are there to be mixed, not to be trained.
    ...[...adapters.entries()].map(([name, { method }]) => ofMethod(name, method, on.includes(name), name === active)),
    ...[...fusions.entries()].map(([name]) =>
      line(name, 'fusion', totalElements(fusionSpecs(fusionFacts(state, name))), fused.includes(name), fused.includes(name)),
    ),
    ...asIf.map((method, i) => ofMethod(method.text, method, i === asIf.length - 1, i === asIf.length - 1)),
    line(encoder.name, `${encoder.family.name} (encoder)`, total, true, asIf.at(-1)?.method.trainsEncoder ?? false),
  ];
}
