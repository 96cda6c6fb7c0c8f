export { ADAMW, type AdamW, addGradients, type Gradients, globalNorm, updateAdamW } from './adamw.ts';
export { type Minimum, minimise } from './lbfgs.ts';
export { SCHEDULES, type Schedule, scheduleFactor } from './schedule.ts';
export { ParameterStore, streamOf } from './store.ts';
