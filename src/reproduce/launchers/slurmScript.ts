/** @file The job script of a Slurm array: one task per run, each leaving a record of how it ended. */

export interface ArrayTask {
  /** Arguments after the program. */
  readonly args: readonly string[];
  /** Where its messages go. */
  readonly log: string;
  /** The engine gets as many threads as Slurm gives the task CPUs. */
  readonly shareCores: boolean;
}

export interface ArrayScript {
  readonly jobName: string;
  /** Folder of this script and of the exit records `<index>.exit`. */
  readonly folder: string;
  readonly cwd: string;
  /** The program and its first arguments. */
  readonly program: readonly string[];
  readonly tasks: readonly ArrayTask[];
  /** Tasks at a time; null: as many as Slurm allows. */
  readonly limit: number | null;
}

/**
 * A bash script for sbatch. One minute before a time limit Slurm sends SIGTERM: the run then writes a checkpoint and
 * ends as interrupted, and is submitted again by the launcher; hence no requeueing by Slurm.
 */
export function arrayScript({ jobName, folder, cwd, program, tasks, limit }: ArrayScript): string {
  const cases = tasks.map(({ args, log, shareCores }, i) => {
    const threads = shareCores ? ' --set "threads=$cores"' : '';
    return `  ${i}) set -- ${args.map(quote).join(' ')}${threads}; log=${quote(log)} ;;`;
  });
  return `#!/bin/bash
#SBATCH --job-name=${jobName}
#SBATCH --array=0-${tasks.length - 1}${limit === null ? '' : `%${limit}`}
#SBATCH --chdir=${directive(cwd)}
#SBATCH --output=${directive(folder)}/%a.out
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --signal=B:TERM@60

folder=${quote(folder)}
cores=\${SLURM_CPUS_PER_TASK:-\${SLURM_CPUS_ON_NODE:-1}}
case $SLURM_ARRAY_TASK_ID in
${cases.join('\n')}
esac

${program.map(quote).join(' ')} "$@" >> "$log" 2>&1 &
child=$!
trap 'kill -TERM $child 2> /dev/null' TERM INT
# A signal ends "wait" early.
while wait $child; code=$?; kill -0 $child 2> /dev/null; do :; done
printf '%s\\n' $code > "$folder/$SLURM_ARRAY_TASK_ID.exit.tmp"
mv "$folder/$SLURM_ARRAY_TASK_ID.exit.tmp" "$folder/$SLURM_ARRAY_TASK_ID.exit"
exit $code
`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** sbatch reads its lines as a shell would; a per cent sign starts one of its placeholders. */
function directive(path: string): string {
  return quote(path.replaceAll('%', '%%'));
}
