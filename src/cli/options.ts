import { Option } from 'commander';
import { engineChoices } from '../engines/engine.js';
import { UserError } from '../errors.js';

/** `--engine`, the same for every command that computes. */
export function engineOption(): Option {
  return new Option('--engine <engine>', 'who computes (xbm engines)').choices(engineChoices);
}

/**
 * @param pairs keys of options of which only one may be given
 * @throws UserError when both are
 */
export function refuseTogether<T extends object>(
  args: T,
  pairs: readonly (readonly [keyof T & string, keyof T & string])[],
): void {
  for (const pair of pairs) {
    if (pair.some((key) => args[key] === undefined)) continue;
    const [one, other] = pair.map(flagOf);
    throw new UserError(`${one} and ${other} exclude each other`, 'Give one of them.');
  }
}

/** As it is typed: weightBits is --weight-bits. */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** For commander: the name of a backbone in the store, without the ending that its file has there. */
export function storeName(text: string): string {
  return text.replace(/\.safetensors$/, '');
}

/** For commander: gathers the values of an option that may be given more than once. */
export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

/** @throws UserError when a file that a command is to write does not end as one of the formats it can write */
export function requireEnding(option: string, file: string | undefined, endings: readonly string[]): void {
  if (file === undefined || endings.some((ending) => file.endsWith(ending))) return;
  throw new UserError(`${option} ${file}: expected a file that ends in ${endings.join(' or ')}`);
}
