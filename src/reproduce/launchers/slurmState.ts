/** @file Which array jobs were submitted for which runs: what a later start of the same command goes on from. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../errors.js';
import { makeFolder } from '../../folders.js';
import { replaceFile } from '../../model/replaceFile.js';

const schema = z.object({
  /** Array jobs in the order of submission; the index of a run in `runs` is its array index. */
  jobs: z.array(
    z.object({
      name: z.string(),
      runs: z.array(z.string()),
      /** Bytes of each run's log that are of earlier starts; older versions did not note them. */
      logBytes: z.array(z.int().min(0)).default([]),
    }),
  ),
});

export type SlurmJob = z.infer<typeof schema>['jobs'][number];

/** The launcher's own folder, below the results folder. */
export class SlurmState {
  readonly #path: string;
  readonly #jobs: SlurmJob[];

  /** @throws UserError when what is there is no state of this launcher */
  constructor(readonly folder: string) {
    this.#path = join(folder, 'jobs.json');
    this.#jobs = existsSync(this.#path) ? read(this.#path) : [];
  }

  /** The job that a run was submitted with last. */
  jobOf(run: string): SlurmJob | undefined {
    return this.#jobs.findLast(({ runs }) => runs.includes(run));
  }

  /** Durable before the job is submitted: a job that Slurm has is never forgotten. */
  async add(job: SlurmJob): Promise<void> {
    this.#jobs.push(job);
    makeFolder(this.jobFolder(job));
    await replaceFile(this.#path, [Buffer.from(`${JSON.stringify({ jobs: this.#jobs }, null, 2)}\n`)]);
  }

  /** Where a job's script and exit records are. */
  jobFolder({ name }: SlurmJob): string {
    return join(this.folder, name);
  }

  /** The exit code a task recorded; null while there is none. */
  exitCode(job: SlurmJob, run: string): number | null {
    const path = join(this.jobFolder(job), `${job.runs.indexOf(run)}.exit`);
    if (!existsSync(path)) return null;
    return Number.parseInt(readFileSync(path, 'utf8'), 10);
  }
}

function read(path: string): SlurmJob[] {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8'))).jobs;
  } catch {
    throw new UserError(
      `${path}: not written by xbm reproduce`,
      'Cancel jobs of this reproduction that still run (scancel), then delete the file.',
    );
  }
}
