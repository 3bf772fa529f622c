/** @file Command lines of the benchmarks: --help, and for anything unknown one line and the usage. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

/** Positional arguments, from `least` to `most` of them. */
export function benchArguments(usage: string, most: number, least = 0): string[] {
  const { positionals } = parse(usage, { allowPositionals: true, options: {} });
  const { length } = positionals;
  if (length < least || length > most) fail(`expected ${least} to ${most} arguments, got ${length}`, usage);
  return positionals;
}

/** Values of options. */
export function benchOptions<const T extends Options>(usage: string, options: T) {
  return parse(usage, { allowPositionals: false, options }).values;
}

function parse<const T extends Options>(
  usage: string,
  { allowPositionals, options }: { allowPositionals: boolean; options: T },
) {
  if (process.argv.includes('--help')) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ allowPositionals, options });
  } catch (error) {
    return fail((error as Error).message, usage);
  }
}

function fail(problem: string, usage: string): never {
  console.error(`${problem}\nusage: ${usage}`);
  process.exit(2);
}
