import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../errors.js';
import { packageRoot } from '../paths.js';
import { closest } from './suggest.js';

function configFolder(): string {
  return join(packageRoot(), 'configs');
}

/** Files of configs/ that are no experiments: what they all extend, and a file for `xbm reproduce`. */
const notExperiments: readonly string[] = ['base', 'quickstart'];

function yamlNames(folder: string): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => basename(file, '.yaml'))
    .sort();
}

/** Names of the experiments that come with xbm, sorted. */
export function packagedConfigs(): string[] {
  return yamlNames(configFolder()).filter((name) => !notExperiments.includes(name));
}

/** Names of the reproduction files that come with xbm, sorted. */
export function packagedReproductions(): string[] {
  return [...yamlNames(join(configFolder(), 'reproduce')), 'quickstart'].sort();
}

/** Names of the hardware descriptions that come with xbm, sorted. */
export function hardwarePresets(): string[] {
  return yamlNames(join(configFolder(), 'hardware'));
}

/** The file of a packaged reproduction named with or without `.yaml`; undefined when there is none. */
export function reproductionFile(name: string): string | undefined {
  const plain = name.replace(/\.yaml$/, '');
  if (!packagedReproductions().includes(plain)) return undefined;
  return join(configFolder(), plain === 'quickstart' ? '' : 'reproduce', `${plain}.yaml`);
}

/** The file of a packaged config named with or without `.yaml`; undefined when there is none. */
export function packagedConfig(name: string): string | undefined {
  if (!/^[\w-]+(\.yaml)?$/.test(name)) return undefined;
  const file = join(configFolder(), name.endsWith('.yaml') ? name : `${name}.yaml`);
  return existsSync(file) ? file : undefined;
}

/**
 * The packaged config of a task and method: configs/<task>-<method>.yaml.
 * @throws UserError when there is none
 */
export function configForTask(task: string, method = 'xbm'): string {
  const name = `${task}-${method}`;
  const file = packagedConfig(name);
  if (file) return file;
  const meant = closest(name, packagedConfigs());
  throw new UserError(
    `no packaged config for task "${task}" with method "${method}"${meant ? `; did you mean "${meant}"?` : ''}`,
    'See `xbm config list`, or give a config file.',
  );
}
