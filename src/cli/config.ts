import type { Command } from 'commander';
import { type ExperimentArguments, experimentOptions, loadExperimentFrom } from './experiment.js';
import type { Io } from './io.js';
import { type Cell, formatTable } from './table.js';

/** `xbm config show` and `xbm config list`. */
export function registerConfig(program: Command, io: Io): void {
  const config = program
    .command('config')
    .description('show resolved experiments and list the packaged ones');
  experimentOptions(config.command('show'))
    .description(
      'print an experiment with everything it extends, overrides and defaults, and what each key means',
    )
    .option('--json', 'print JSON instead of YAML')
    .addHelpText(
      'after',
      `
Examples:
  xbm config show --task cubs
  xbm config show --task flowers --method piggyback --set training.epochs=5
  xbm config show my-experiment.yaml --json
`,
    )
    .action(async (file: string | undefined, options: ExperimentArguments & { json?: boolean }) => {
      const experiment = await loadExperimentFrom(file, options, io);
      if (options.json) {
        const { configHash } = await import('../config/hash.js');
        io.stdout(`${JSON.stringify({ hash: configHash(experiment), experiment })}\n`);
      } else {
        const { experimentToYaml } = await import('../config/print.js');
        io.stdout(experimentToYaml(experiment, { explained: true }));
      }
    });
  config
    .command('list')
    .description('list the experiments that come with xbm')
    .option('--json', 'print JSON instead of a table')
    .addHelpText('after', '\nExamples:\n  xbm config list\n  xbm config list --json\n')
    .action((options: { json?: boolean }) => listConfigs(io, options.json === true));
}

async function listConfigs(io: Io, json: boolean): Promise<void> {
  const { packagedConfigs } = await import('../config/packaged.js');
  const { loadExperiment } = await import('../config/load.js');
  const { shortHash } = await import('../config/hash.js');
  const configs = packagedConfigs().map((name) => {
    const experiment = loadExperiment({ config: `${name}.yaml`, cwd: io.cwd });
    const { task, method, backbone, training } = experiment;
    return {
      name,
      task,
      method: method.name,
      network: backbone.network,
      weightBits: backbone.weightBits,
      imageSize: training.imageSize,
      epochs: training.epochs,
      hash: shortHash(experiment),
    };
  });
  if (json) {
    io.stdout(`${JSON.stringify({ configs })}\n`);
    return;
  }
  const header = ['name', 'task', 'method', 'network', 'bits', 'pixels', 'epochs', 'hash'];
  const rows = configs.map((config): Cell[] => Object.values(config));
  io.stdout(formatTable(header, rows, io.columns));
}
