import type { Commands } from './program.ts';

/** Every command, in the order of the help; its file exports `command`. */
export const commands: Commands = {
  demo: async () => (await import('./demo.ts')).command,
  train: async () => (await import('./train.ts')).command,
  multitask: async () => (await import('./multitask.ts')).command,
  fuse: async () => (await import('./fuse.ts')).command,
  attention: async () => (await import('./attention.ts')).command,
  prune: async () => (await import('./prune.ts')).command,
  distill: async () => (await import('./distill.ts')).command,
  average: async () => (await import('./average.ts')).command,
  merge: async () => (await import('./merge.ts')).command,
  convert: async () => (await import('./convert.ts')).command,
  predict: async () => (await import('./predict.ts')).command,
  embed: async () => (await import('./embed.ts')).command,
  evaluate: async () => (await import('./evaluate.ts')).command,
  inspect: async () => (await import('./inspect.ts')).command,
  summary: async () => (await import('./summary.ts')).command,
  tasks: async () => (await import('./tasks.ts')).command,
  methods: async () => (await import('./methods.ts')).command,
  encoders: async () => (await import('./encoders.ts')).command,
  pretrain: async () => (await import('./pretrain.ts')).command,
};
