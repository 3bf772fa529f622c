// `npm run test:slurm`: the Slurm launcher against a real Slurm of one node, which the test starts and stops.
// Needs root and Debian's slurm-wlm and munge, which are installed when they are missing; says so and ends well when
// that cannot be had, so that CI on other systems passes. XBM_TEST_SLURM=required makes that an error.
import { spawnSync } from 'node:child_process';

const run = (command, args, env = {}) =>
  spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } })
    .status ?? 1;
const has = (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
const installed = () => ['munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue'].every(has);

function skip(reason) {
  const required = process.env.XBM_TEST_SLURM === 'required';
  console.log(`test:slurm ${required ? 'failed' : 'skipped'}: ${reason}`);
  process.exit(required ? 1 : 0);
}

if (process.getuid?.() !== 0) skip('Slurm’s daemons need root');
if (!installed()) {
  if (!has('apt-get')) skip('Slurm is not installed, and there is no apt-get to install it');
  const apt = ['-o', 'DPkg::Lock::Timeout=300', '-qq'];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const packages = ['install', '-y', '--no-install-recommends', 'slurm-wlm', 'munge'];
  if (run('apt-get', [...apt, ...packages], env) !== 0) {
    run('apt-get', [...apt, 'update'], env);
    run('apt-get', [...apt, ...packages], env);
  }
  if (!installed()) skip('Slurm could not be installed (Debian: slurm-wlm, munge)');
}
process.exit(
  run(process.execPath, ['scripts/test.mjs', 'test/reproduce/slurm.test.ts'], { XBM_TEST_SLURM: '1' }),
);
