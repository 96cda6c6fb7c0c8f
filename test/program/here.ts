import { nodeFiles } from '../../src/base/files-node.ts';
import { commands } from '../../src/cli/commands.ts';
import { runProgram } from '../../src/cli/program.ts';

/**
 * Runs one command line in this process, and answers as `runCli` does. Starting the built program takes longer than most
 * commands: a process of its own is for signals, for streams, and once for each command.
 */
export async function runHere(
  args: readonly string[],
  stdin = '',
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const world = {
    files: nodeFiles,
    stdin: async () => new TextEncoder().encode(stdin),
    stdout: (text: string) => {
      stdout += `${text}\n`;
    },
    stderr: (text: string) => {
      stderr += `${text}\n`;
    },
    isTTY: false,
    signal: new AbortController().signal,
  };
  const code = await runProgram(args, commands, world, '0.0.0');
  return { code, stdout, stderr };
}
