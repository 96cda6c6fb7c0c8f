import type { z } from 'zod';
import type { Files } from '../base/index.ts';

/** What a command may use of the world. Tests give their own. */
export interface CommandContext {
  readonly files: Files;
  /** Writes one or more lines of the result; the line end is added. */
  readonly stdout: (text: string) => void;
  /** Writes notes and progress, a line each. */
  readonly stderr: (text: string) => void;
  /** Everything that comes in on standard input, read to its end. */
  readonly stdin: () => Promise<Uint8Array>;
  /** `--json`: the result is wanted as JSON, and nothing else may go to stdout. */
  readonly json: boolean;
  /** Whether stderr is a terminal, so that a line may be redrawn. */
  readonly isTTY: boolean;
  /** Aborts at the first Ctrl-C. Whoever reads it takes on stopping in good order; a second Ctrl-C, or 10 seconds, end the process. */
  readonly signal: AbortSignal;
}

/** A command: its options are declared once, by `schema` (see options.ts), and checked before `run` is called. */
export interface CommandDefinition<Schema extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Keys of the schema that are given by position instead of by flag; an array as the last one takes all that remain. */
  readonly arguments?: readonly (keyof z.output<Schema> & string)[];
  readonly schema: Schema;
  run(context: CommandContext, options: z.output<Schema>): Promise<void>;
}

/** Keeps the types of the schema inside `run` while all commands share one type outside. */
export function defineCommand<Schema extends z.ZodObject>(definition: CommandDefinition<Schema>): CommandDefinition {
  return definition as unknown as CommandDefinition;
}
