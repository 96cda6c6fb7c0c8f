export { ADAMW, type AdamW, corrections, drawAdamW, type Updatable } from './adamw.ts';
export { SCHEDULES, type Schedule, scheduleFactor } from './schedule.ts';
export { ParameterStore } from './store.ts';
