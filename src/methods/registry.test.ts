import { describe, expect, it } from 'vitest';
import { configureMethod, METHODS, methodNames, shortestText } from './registry.ts';

describe('shortestText', () => {
  it.each(methodNames())('%s: is read as the same configuration', (name) => {
    const configured = configureMethod(name);
    const text = shortestText(configured);
    expect(configureMethod(text)).toMatchObject({ method: configured.method, config: configured.config });
  });

  it('names the preset and what was changed in it, in the grammar that is read', () => {
    const text = "seq_bn[reduction_factor={'0': 4, 'default': 8}, non_linearity='gelu', original_ln_before=False]";
    const short = shortestText(configureMethod(text));
    expect(short).toMatch(/^seq_bn\[/);
    expect(short.split('=')).toHaveLength(4);
    expect(configureMethod(short).config).toEqual(configureMethod(text).config);
  });

  it('has a name for every method', () => {
    expect(METHODS.map(({ presets }) => shortestText(configureMethod(Object.keys(presets)[0] as string)).includes('['))).not.toContain(
      true,
    );
  });
});
