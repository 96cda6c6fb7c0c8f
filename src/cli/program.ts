import { Command, CommanderError } from 'commander';
import { fail, MultigraftError, nearest } from '../base/index.ts';
import type { CommandContext, CommandDefinition } from './command.ts';
import { addOptions, optionsOf, parseOptions } from './options.ts';

/** Commands by name; each is loaded only when it is needed, so that a short command starts fast. */
export type Commands = Readonly<Record<string, () => Promise<CommandDefinition>>>;

/** What the program itself gets; `json` is found out from the command line. */
export type World = Omit<CommandContext, 'json'>;

/**
 * Runs one command line (without node and script). Returns the exit code: 0, 1 for a failure, 2 for wrong usage.
 * Nothing is thrown; errors are one message on stderr, as JSON with `--json`, with their stack only with `--debug`.
 */
export async function runProgram(argv: readonly string[], commands: Commands, world: World, version: string): Promise<number> {
  try {
    await parse(argv, commands, world, version);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    world.stderr(wording(error, argv));
    return error instanceof MultigraftError && error.code.startsWith('usage.') ? 2 : 1;
  }
}

async function parse(argv: readonly string[], commands: Commands, world: World, version: string): Promise<void> {
  const words = argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv.length === 0 ? ['--help'] : [...argv];
  const end = words.indexOf('--');
  const name = words.slice(0, end < 0 ? words.length : end).find((word) => !word.startsWith('-'));
  const load = name === undefined ? undefined : commands[name];
  if (name !== undefined && (load === undefined || !Object.hasOwn(commands, name))) unknownCommand(name, Object.keys(commands));
  const definitions = await Promise.all((load ? [load] : Object.values(commands)).map((one) => one()));
  const program = createProgram(definitions, world, version);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode === 0) throw error;
    const definition = load && definitions[0];
    usageError(error, definition);
  }
}

/** The commander program for some commands. */
export function createProgram(definitions: readonly CommandDefinition[], world: World, version: string): Command {
  const program = new Command('multigraft')
    .description('Train small task modules on one frozen text encoder, compose them, share them.')
    .version(version, '--version', 'print the version')
    .option('--json', 'print the result as JSON')
    .option('--debug', 'print the stack of an error')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({ writeOut: (text) => world.stdout(text.trimEnd()), writeErr: () => {} })
    .showSuggestionAfterError(false)
    .exitOverride();
  for (const definition of definitions) {
    const command = program.command(definition.name).description(definition.summary).allowExcessArguments(true);
    addOptions(command, definition.schema, definition.arguments);
    command.action(() => execute(definition, command, world));
  }
  return program;
}

async function execute(definition: CommandDefinition, command: Command, world: World): Promise<void> {
  const positional = definition.arguments ?? [];
  const raw: Record<string, unknown> = { ...command.opts() };
  for (const [i, key] of positional.entries()) {
    const variadic = optionsOf(definition.schema).some((spec) => spec.key === key && spec.array);
    raw[key] = variadic ? command.args.slice(i) : command.args[i];
    if (!variadic && i === positional.length - 1) refuseExtra(definition, command, positional.length);
  }
  if (positional.length === 0) refuseExtra(definition, command, 0);
  const options = parseOptions(definition.schema, raw, positional);
  const { json } = command.optsWithGlobals<{ json?: boolean }>();
  // Not spread: reading `signal` is what takes Ctrl-C over from the system.
  const context = Object.create(world, { json: { value: json === true, enumerable: true } }) as CommandContext;
  await definition.run(context, options);
}

function refuseExtra(definition: CommandDefinition, command: Command, count: number): void {
  const extra = command.args[count];
  if (extra === undefined) return;
  const expected = count === 0 ? 'flags only' : `${count} argument${count === 1 ? '' : 's'}`;
  fail({
    code: 'usage.flag',
    subject: subjectOf(definition),
    found: `one more argument, ${JSON.stringify(extra)}`,
    expected,
    next: seeHelp(definition),
  });
}

function unknownCommand(name: string, names: readonly string[]): never {
  const near = nearest(name, names);
  return fail({
    code: 'usage.flag',
    subject: name,
    found: 'an unknown command',
    expected: `one of ${names.join(', ')}`,
    next: near ? `Did you mean multigraft ${near}?` : 'See multigraft --help.',
  });
}

/** What commander refuses, in our words. */
function usageError(error: CommanderError, definition: CommandDefinition | undefined): never {
  const named = /'([^']*)'/.exec(error.message)?.[1] ?? '';
  if (error.code === 'commander.unknownOption') {
    const flags = definition ? optionsOf(definition.schema).filter(({ key }) => !definition.arguments?.includes(key)) : [];
    const near = nearest(named.split('=')[0] ?? '', [...flags.map(({ flag }) => flag), '--json', '--debug', '--help', '--version']);
    return fail({
      code: 'usage.flag',
      subject: `${subjectOf(definition)} ${named}`,
      found: 'an unknown flag',
      next: near ? `Did you mean ${near}?` : seeHelp(definition),
    });
  }
  if (error.code === 'commander.help')
    return fail({
      code: 'usage.flag',
      subject: subjectOf(definition),
      found: 'no command',
      expected: 'a command',
      next: seeHelp(definition),
    });
  if (error.code === 'commander.optionMissingArgument')
    return fail({
      code: 'usage.flag',
      subject: named.split(' ')[0] ?? '',
      found: 'nothing after it',
      expected: `a value: ${named}`,
      next: seeHelp(definition),
    });
  if (error.code === 'commander.missingArgument')
    return fail({ code: 'usage.flag', subject: subjectOf(definition), found: `no <${named}>`, expected: 'one', next: seeHelp(definition) });
  return fail({ code: 'usage.flag', subject: error.message.replace(/^error: /, ''), next: seeHelp(definition) });
}

function subjectOf(definition: CommandDefinition | undefined): string {
  return definition ? `multigraft ${definition.name}` : 'multigraft';
}

function seeHelp(definition: CommandDefinition | undefined): string {
  return `See ${subjectOf(definition)} --help.`;
}

function wording(error: unknown, argv: readonly string[]): string {
  const known = error instanceof MultigraftError && error.code !== 'internal.invariant';
  const code = error instanceof MultigraftError ? error.code : 'internal.unexpected';
  const plain = error instanceof Error ? error.message : String(error);
  const message = known ? plain : `internal error: ${plain}${argv.includes('--debug') ? '' : ' (run again with --debug for the place)'}`;
  const stack = argv.includes('--debug') && !code.startsWith('usage.') ? stackOf(error) : undefined;
  if (argv.includes('--json')) return JSON.stringify({ error: { code, message, ...(stack && { stack }) } });
  return [`multigraft: ${message}`, stack].filter(Boolean).join('\n');
}

function stackOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const cause = error.cause === undefined ? undefined : stackOf(error.cause);
  return [error.stack, cause && `caused by: ${cause}`].filter(Boolean).join('\n');
}
