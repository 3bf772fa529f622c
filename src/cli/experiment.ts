import type { Command } from 'commander';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import type { Io } from './io.js';
import { collect, engineOption } from './options.js';

/** What {@link experimentOptions} parses. */
export interface ExperimentArguments {
  readonly task?: string;
  readonly method?: string;
  readonly set?: readonly string[];
  readonly engine?: string;
}

/** Adds `[config] --task --method --set --engine`, the same for every command that takes an experiment. */
export function experimentOptions(command: Command): Command {
  return command
    .argument('[config]', 'a config file, or the name of a packaged one (xbm config list)')
    .option('--task <task>', 'use the packaged config of this task')
    .option(
      '--method <method>',
      'xbm, piggyback, finetune or classifier (default: xbm, or what the config says)',
    )
    .option('--set <key=value>', 'override one key; repeatable', collect, [])
    .addOption(engineOption());
}

/**
 * The experiment that the arguments name: a config file, else the packaged config of --task and --method.
 * @throws UserError when neither is given, or both are
 */
export async function loadExperimentFrom(
  config: string | undefined,
  args: ExperimentArguments,
  io: Io,
): Promise<Experiment> {
  const { configForTask } = await import('../config/packaged.js');
  const { loadExperiment } = await import('../config/load.js');
  const overrides = [...(args.set ?? [])];
  if (args.engine !== undefined) overrides.push(`engine=${args.engine}`);
  if (config !== undefined) {
    if (args.task !== undefined) {
      throw new UserError(
        `both a config (${config}) and --task ${args.task} are given`,
        'Give one of them; --set task=… changes the task of a config.',
      );
    }
    const experiment = loadExperiment({ config, overrides, cwd: io.cwd });
    if (args.method === undefined || args.method === experiment.method.name) return experiment;
    const { methodLayer } = await import('../config/methodLayer.js');
    const layers = [methodLayer(args.method, `--method ${args.method}`)];
    return loadExperiment({ config, layers, overrides, cwd: io.cwd });
  }
  if (args.task === undefined) {
    throw new UserError(
      'which experiment? Neither a config file nor --task is given',
      'See `xbm config list`.',
    );
  }
  return loadExperiment({ config: configForTask(args.task, args.method), overrides, cwd: io.cwd });
}
