import type { Command } from 'commander';
import type { EngineStatus } from '../engines/registry.js';
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
      // Listed best first, so `auto` takes the first that it may.
      const engines = await listEngines();
      const auto = engines.findIndex((engine) => engine.isForAuto);
      const why = autoReason(engines, auto);
      if (options.json) {
        io.stdout(`${JSON.stringify({ engines, auto: engines[auto]?.name ?? null, why })}\n`);
        return;
      }
      const rows = engines.map(({ name, available, isForAuto, description, detail }) => [
        name,
        isForAuto ? 'yes' : available ? 'by name' : 'no',
        description,
        detail,
      ]);
      io.stdout(formatTable(['engine', 'available', 'what it is', 'device, or why not'], rows, io.columns));
      io.stdout(`\n--engine auto: ${why}\n`);
    });
}

function autoReason(engines: readonly EngineStatus[], auto: number): string {
  if (auto < 0) return 'no engine can run here';
  const better = engines
    .slice(0, auto)
    .map(({ name, passedOver }) => `${name}: ${passedOver ?? 'cannot run here'}`);
  return better.length > 0
    ? `${engines[auto].name}, the best one present (preferred, but: ${better.join(', ')})`
    : `${engines[auto].name}, the best one there is`;
}
