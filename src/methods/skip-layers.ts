import { fail } from '../base/index.ts';
import type { EncoderConfig, Hooks, SiteName, SiteResults, Sites } from '../encoders/index.ts';
import type { Attachment } from './attachment.ts';
import { stockAt } from './hooks.ts';

/**
 * AdapterDrop (Rücklé et al. 2021): the same attachment, with nothing of it in some layers, counted from 0. What acts outside of the layers
 * (prompts, invertible adapters) stays.
 * @throws usage.value for layers that the encoder does not have
 */
export function withoutLayers<A extends Attachment>(attachment: A, layers: readonly number[], encoder: EncoderConfig): A {
  if (layers.length === 0) return attachment;
  checkLayers(layers, encoder);
  const skipped = new Set(layers);
  return {
    ...attachment,
    hooks: (parameters, dropout, observe) => {
      const hooks = attachment.hooks(parameters, dropout, observe);
      return Object.fromEntries(Object.keys(hooks).map((name) => [name, hookBut(name as SiteName, hooks, skipped)])) as Hooks;
    },
  };
}

function hookBut<Name extends SiteName>(name: Name, hooks: Hooks, skipped: ReadonlySet<number>) {
  const hook = hooks[name] as (site: Sites[Name]) => SiteResults[Name];
  return (site: Sites[Name]): SiteResults[Name] => {
    const layer = 'layer' in site ? site.layer : undefined;
    return layer !== undefined && skipped.has(layer) ? stockAt(name, site) : hook(site);
  };
}

/** @throws usage.value for layers that the encoder does not have */
export function checkLayers(layers: readonly number[], { layers: count }: EncoderConfig): void {
  const wrong = layers.find((layer) => !Number.isInteger(layer) || layer < 0 || layer >= count);
  if (wrong !== undefined)
    fail({ code: 'usage.value', subject: 'layers to skip', found: String(wrong), expected: `whole numbers from 0 to ${count - 1}` });
}
