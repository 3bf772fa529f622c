import type { Command } from 'commander';
import type { Io } from './io.js';
import { formatTable } from './table.js';

/** `xbm engines`. */
export function registerEngines(program: Command, io: Io): void {
  program
    .command('engines')
    .description('list what this machine can train on, with the reason for each engine that is missing')
    .option('--json', 'print JSON instead of a table')
    .addHelpText('after', '\nExamples:\n  xbm engines\n  xbm engines --json\n')
    .action(async (options: { json?: boolean }) => {
      const { listEngines } = await import('../engines/registry.js');
      // Listed best first, so `auto` takes the first that is available.
      const engines = await listEngines();
      const auto = engines.findIndex((engine) => engine.available);
      const why = autoReason(engines, auto);
      if (options.json) {
        io.stdout(`${JSON.stringify({ engines, auto: engines[auto]?.name ?? null, why })}\n`);
        return;
      }
      const rows = engines.map(({ name, available, description, detail }) => [
        name,
        available ? 'yes' : 'no',
        description,
        detail,
      ]);
      io.stdout(formatTable(['engine', 'available', 'what it is', 'device, or why not'], rows));
      io.stdout(`\n--engine auto: ${why}\n`);
    });
}

function autoReason(engines: readonly { name: string }[], auto: number): string {
  if (auto < 0) return 'no engine can run here';
  const better = engines.slice(0, auto).map((engine) => engine.name);
  return better.length > 0
    ? `${engines[auto].name}, the best one present (${better.join(' and ')} would be preferred but cannot run here)`
    : `${engines[auto].name}, the best one there is`;
}
