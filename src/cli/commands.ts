import type { Commands } from './program.ts';

/** Every command, in the order of the help; its file exports `command`. */
export const commands: Commands = {
  tasks: async () => (await import('./tasks.ts')).command,
};
