import type { Commands } from './program.ts';

/** Every command, in the order of the help; its file exports `command`. */
export const commands: Commands = {
  pretrain: async () => (await import('./pretrain.ts')).command,
  train: async () => (await import('./train.ts')).command,
  tasks: async () => (await import('./tasks.ts')).command,
};
