#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { nodeFiles } from '../base/files-node.ts';
import { commands } from './commands.ts';
import { runProgram, type World } from './program.ts';

// A reader that closes early (`multigraft … | head`) has what it wanted: end quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
process.exitCode = await runProgram(process.argv.slice(2), commands, createWorld(), version);

function createWorld(): World {
  let signal: AbortSignal | undefined;
  return {
    files: nodeFiles,
    stdout: (text) => void process.stdout.write(`${text}\n`),
    stderr: (text) => void process.stderr.write(`${text}\n`),
    stdin: readStdin,
    isTTY: process.stderr.isTTY === true,
    get signal() {
      signal ??= onInterrupt();
      return signal;
    },
  };
}

async function readStdin(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

/** Aborts at the first SIGINT or SIGTERM and then gives both back to the system, so that a second one ends the process. */
function onInterrupt(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}
