export * from './dim.ts';
export { forEach, type Many, type ModuleAxis } from './for-each.ts';
export { gradients } from './grad.ts';
export * from './ops/index.ts';
export { type Program, partsOf, print, verify } from './program.ts';
export { optimize, quantizeProducts, type Rule, rewrite } from './rewrite/index.ts';
export * from './value.ts';
