import type { Command } from 'commander';
import type { Io } from './io.js';

interface QuickstartArguments {
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `xbm quickstart`: `xbm reproduce` of the packaged quickstart. */
export function registerQuickstart(program: Command, io: Io): void {
  program
    .command('quickstart')
    .description('adapt the embedded backbone to two embedded tasks with every method; about a minute')
    .option('--force', 'train again what an earlier quickstart has finished')
    .option('--json', 'print the result as one JSON document')
    .addHelpText('after', '\nExamples:\n  xbm quickstart\n  xbm quickstart --force --json\n')
    .action(async ({ force, json }: QuickstartArguments) => {
      const { reproduce } = await import('./reproduce.js');
      await reproduce('quickstart', { force, json, replace: true, launcher: 'local', set: [] }, io);
    });
}
