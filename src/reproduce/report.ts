/** @file The report of a reproduction: its runs, what they cost and what is missing, as tables, figures and pages. */
import { readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';
import { packageVersion } from '../paths.js';
import { chipId, chipsOf } from '../report/experiment/chips.js';
import { readExperimentRun } from '../report/experiment/readRun.js';
import type { ExperimentReport, ExperimentRun } from '../report/experiment/types.js';
import { writeExperimentReport } from '../report/experiment/write.js';
import type { PricedGroup } from './energies.js';
import type { PlannedRun } from './expand.js';
import type { FinishedRun } from './finished.js';
import type { ReproductionSource } from './reproductionFile.js';
import type { MissingRun, Unpriced } from './summary.js';

export interface ReportInputs {
  readonly source: ReproductionSource;
  /** The command of this reproduction. */
  readonly command: string;
  /** Commands start here. */
  readonly cwd: string;
  readonly finished: readonly FinishedRun[];
  readonly priced: readonly PricedGroup[];
  readonly unpriced: readonly Unpriced[];
  readonly missing: readonly MissingRun[];
}

/** Writes report.html and all it is made of into the results folder. @returns the files, report.html first */
export async function writeReproductionReport(folder: string, inputs: ReportInputs): Promise<string[]> {
  const { source, command, finished, priced, unpriced, missing } = inputs;
  const { name, title, seeds } = source.reproduction;
  const runs: ExperimentRun[] = [];
  for (const { run, folder: runFolder } of finished) {
    const costs = priced.flatMap(({ report, costs }) => {
      const found = costs.get(run.name);
      return found ? [{ ...found, chip: chipId(report) }] : [];
    });
    runs.push(
      await readExperimentRun(runFolder, {
        task: run.task,
        variant: run.variant,
        reportFolder: folder,
        command: trainCommand(run, inputs.cwd),
        costs,
        pictures: run.seed === seeds[0],
      }),
    );
  }
  const report: ExperimentReport = {
    name,
    description: title,
    command,
    configText: readFileSync(source.file, 'utf8'),
    programVersion: packageVersion(),
    runs,
    missing: missing.map(({ run: _run, ...one }) => ({ ...one, command })),
    chips: chipsOf(priced),
    notes: unpriced.map(
      ({ preset, runs, reason }) => `Not priced on ${preset}: ${runs.join(', ')}: ${reason}`,
    ),
  };
  const files = await writeExperimentReport(report, folder);
  return files.sort((a, b) => Number(b.endsWith('report.html')) - Number(a.endsWith('report.html')));
}

/** Repeats one run in its own folder. */
function trainCommand(run: PlannedRun, cwd: string): string {
  const folder = relative(cwd, run.folder).split(sep).join('/');
  return `xbm train ${folder}/config.yaml --out ${folder} --force`;
}
