import type { Files } from '../src/base/index.ts';
import type { CommandDefinition } from '../src/cli/command.ts';
import { parseOptions } from '../src/cli/options.ts';

/** Runs a command of the program in this process. Returns what it prints, and its notes. */
export async function runCommand(
  files: Files,
  command: CommandDefinition,
  raw: Readonly<Record<string, unknown>>,
): Promise<{ readonly out: string; readonly notes: string[] }> {
  const [out, notes]: [string[], string[]] = [[], []];
  await command.run(
    {
      files,
      stdout: (text) => void out.push(text),
      stderr: (text) => void notes.push(text),
      stdin: async () => new Uint8Array(),
      json: true,
      isTTY: false,
      signal: new AbortController().signal,
    },
    parseOptions(command.schema, raw),
  );
  return { out: out.join('\n'), notes };
}
