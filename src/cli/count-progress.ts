import type { CommandContext } from './command.ts';

/** Counts rows on a terminal; silent elsewhere and with --json. */
export async function countProgress(
  { isTTY, json }: CommandContext,
  unit: string,
): Promise<{ onProgress(done: number, of: number): void; stop(): void }> {
  if (json || !isTTY) return { onProgress() {}, stop() {} };
  const { SingleBar } = await import('cli-progress');
  const bar = new SingleBar({ format: `{bar} {value}/{total} ${unit}`, hideCursor: true, clearOnComplete: true, linewrap: false });
  return {
    onProgress(done, of) {
      if (bar.isActive) bar.update(done);
      else bar.start(of, done);
    },
    stop: () => bar.stop(),
  };
}
