import { expect, it } from 'vitest';
import type { Acts } from './act.ts';
import { readerOf } from './adapter.ts';
import { hooksOf } from './hooks.ts';

it('a site that there is not, and a parameter that was not declared, are the fault of the method and told so', () => {
  const act = () => undefined;
  expect(Object.keys(hooksOf({ residual: act, linear: act }))).toEqual(['residual', 'linear']);
  expect(() => hooksOf({ residuals: act } as Acts)).toThrow(
    "the site 'residuals': found none of that name; expected embedded, input, linear",
  );
  const init = { kind: 'constant', value: 0 } as const;
  const read = readerOf([{ name: 'a.shift', shape: [2], init, decay: false }], () => {
    throw new Error('asked');
  });
  expect(() => read('a.shift')).toThrow('asked');
  expect(() => read('a.shfit')).toThrow(
    "the parameter 'a.shfit': found no specification of it; expected one among the method's parameters. Did you mean 'a.shift'?",
  );
});
