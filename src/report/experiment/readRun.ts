/** @file A finished run's folder as the report takes it. */
import { existsSync, readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';
import { z } from 'zod';
import { maskShares } from '../../adaption/task.js';
import { UserError } from '../../errors.js';
import type { RunFolder } from '../../runs/runFolder.js';
import { maskPicturesOf } from './maskPictures.js';
import { portableConfig } from './portableConfig.js';
import type { CurvePoint, ExperimentRun, RunCosts } from './types.js';

export interface ReadRunOptions {
  readonly task: string;
  readonly variant: string | null;
  /** Where the report goes: links to the run start there. */
  readonly reportFolder: string;
  /** The command that repeats the run alone. */
  readonly command: string;
  readonly costs: readonly RunCosts[];
  /** Draw the masks; worth it for one seed. */
  readonly pictures: boolean;
}

/** @throws UserError when the run is not finished, or one of its files is damaged */
export async function readExperimentRun(run: RunFolder, options: ReadRunOptions): Promise<ExperimentRun> {
  const { task: name, variant, reportFolder, command, costs, pictures } = options;
  const summary = run.readSummary();
  const task = summary.maskBits > 0 ? await run.readTask() : null;
  return {
    task: name,
    variant,
    summary,
    folder: relative(reportFolder, run.path).split(sep).join('/'),
    command,
    configText: portableConfig(readFileSync(run.config, 'utf8')),
    curve: readCurve(run.metrics),
    layers: task ? maskShares(task).layers.map(({ name, bits, off }) => ({ name, bits, off })) : [],
    maskPictures: task && pictures ? await maskPicturesOf(task) : [],
    costs,
  };
}

const epochRecord = z.object({
  epoch: z.int().min(1),
  loss: z.number(),
  accuracy: z.number(),
  shareOff: z.number(),
  validation: z.object({ loss: z.number(), accuracy: z.number() }).nullish(),
});

/** The epochs in metrics.jsonl; none without the file. @throws UserError naming a line that cannot be read */
export function readCurve(path: string): CurvePoint[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((line, i): CurvePoint[] => {
    // Steps are many: only epochs are parsed.
    if (!line.includes('"epoch"') || !/"kind"\s*:\s*"epoch"/.test(line)) return [];
    const result = epochRecord.safeParse(parseJson(line));
    if (!result.success) {
      throw new UserError(
        `${path}:${i + 1}: no epoch as a run writes it`,
        'Train the run again with --force.',
      );
    }
    const { validation, ...point } = result.data;
    return [{ ...point, validation: validation ?? null }];
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
