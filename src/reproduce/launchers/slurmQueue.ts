/** @file What Slurm's own commands say. */
import { execFile } from 'node:child_process';
import { ExitCode, UserError } from '../../errors.js';

/** State of an array task as squeue names it: PENDING, RUNNING, COMPLETING, CANCELLED, TIMEOUT, … */
export type JobStates = ReadonlyMap<string, string>;

/** Key of an array task in {@link JobStates}. */
export function taskKey(jobName: string, index: number): string {
  return `${jobName}/${index}`;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of Slurm's commands. @throws UserError when there is no such command */
export type SlurmCommand = (name: 'sbatch' | 'squeue', args: readonly string[]) => Promise<CommandResult>;

/** Runs the commands of this machine. */
export function slurmCommands(env: Readonly<Record<string, string | undefined>>): SlurmCommand {
  return (name, args) =>
    new Promise((resolve, reject) => {
      execFile(name, [...args], { env, timeout: 120_000 }, (error, stdout, stderr) => {
        if ((error as NodeJS.ErrnoException | null)?.code === 'ENOENT') {
          reject(
            new UserError(
              `${name}: no such command`,
              'Run this where Slurm’s commands are, or use --launcher local.',
              ExitCode.unavailable,
            ),
          );
          return;
        }
        const code = error ? (typeof error.code === 'number' ? error.code : 1) : 0;
        resolve({ code, stdout, stderr });
      });
    });
}

/**
 * The states of all tasks of array jobs, also of those that ended within Slurm's MinJobAge (5 minutes).
 * @returns null when Slurm does not answer
 */
export async function queryQueue(run: SlurmCommand, jobNames: readonly string[]): Promise<JobStates | null> {
  const { code, stdout } = await run('squeue', [
    '--noheader',
    '--array',
    '--states=all',
    `--name=${jobNames.join(',')}`,
    '--format=%j|%K|%T',
  ]);
  return code === 0 ? parseQueue(stdout) : null;
}

/** Lines `name|index|STATE`. */
export function parseQueue(text: string): JobStates {
  const states = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [name, index, state] = line.trim().split('|');
    if (state !== undefined && /^\d+$/.test(index)) states.set(taskKey(name, Number(index)), state);
  }
  return states;
}

/** Submits a job script. @returns false when Slurm does not answer: perhaps it has the job, perhaps not */
export async function submitJob(
  run: SlurmCommand,
  script: string,
  options: readonly string[],
): Promise<boolean> {
  const { code, stderr } = await run('sbatch', [...options, script]);
  if (code === 0) return true;
  if (
    /unable to contact|connection refused|timed out|zero bytes|not respond|unexpected message/i.test(stderr)
  ) {
    return false;
  }
  const message = stderr.trim().replace(/^sbatch: error: /gm, '');
  throw new UserError(`sbatch refused the job: ${message}`, 'Check the options given with --sbatch.');
}

/** The job is over, whatever came of it. */
export function isOver(state: string | undefined): boolean {
  return (
    state === undefined ||
    !/^(PENDING|RUNNING|CONFIGURING|COMPLETING|SUSPENDED|STAGE_OUT|SIGNALING|STOPPED|REQUEUED|REQUEUE_HOLD|RESIZING|RESV_DEL_HOLD)$/.test(
      state,
    )
  );
}
