/** @file A real Slurm of one node on this machine: munge, controller and node daemon in a temporary folder. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Why no Slurm can be started here; null when it can. */
export function slurmMissing(): string | null {
  if (process.getuid?.() !== 0) return 'Slurm’s daemons need root';
  const missing = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue'].filter(
    (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0,
  );
  return missing.length > 0 ? `not installed: ${missing.join(', ')} (Debian: slurm-wlm, munge)` : null;
}

export class SlurmCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'xbm-slurm-'));
  readonly env: Record<string, string | undefined>;
  readonly #daemons = new Map<string, ChildProcess>();

  private constructor() {
    this.env = { ...process.env, SLURM_CONF: join(this.folder, 'slurm.conf') };
  }

  /** Starts all daemons and waits until the node is idle. */
  static async start(): Promise<SlurmCluster> {
    const cluster = new SlurmCluster();
    try {
      await cluster.#configure();
      cluster.#startMunge();
      await cluster.startController();
      cluster.#daemon('slurmd', ['-D', '-N', 'node1']);
      await cluster.#until('the node to be idle', () =>
        /idle/.test(cluster.#ask('sinfo', ['-h', '-o', '%t'])),
      );
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async startController(): Promise<void> {
    this.#daemon('slurmctld', ['-D']);
    await this.#until('the controller to answer', () => /UP/.test(this.#ask('scontrol', ['ping'])));
  }

  /**
   * As a crash would: no farewell, no state saved on the way out. Waits until Slurm has saved what happened up to now,
   * which takes it up to five seconds: killed before, it starts running tasks a second time and drains their node.
   */
  async killController(): Promise<void> {
    const now = Date.now();
    const saved = join(this.folder, 'state', 'job_state');
    await this.#until(
      'the controller to save its state',
      () => existsSync(saved) && statSync(saved).mtimeMs > now,
    );
    await this.#end('slurmctld', 'SIGKILL');
  }

  run(command: string, args: readonly string[]): string {
    return execFileSync(command, args, { env: this.env, encoding: 'utf8' });
  }

  async stop(): Promise<void> {
    try {
      if (this.#daemons.has('slurmctld')) this.#ask('scancel', ['--state=PENDING', '--user=root']);
      if (this.#daemons.has('slurmctld')) this.#ask('scancel', ['--user=root']);
    } finally {
      for (const name of ['slurmctld', 'slurmd', 'munged']) await this.#end(name, 'SIGTERM');
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  /** What the daemons wrote, for a test that failed. */
  logs(): string {
    return ['munged', 'slurmctld', 'slurmd']
      .map((name) => join(this.folder, `${name}.out`))
      .filter(existsSync)
      .map((path) => `${path}\n${readFileSync(path, 'utf8').split('\n').slice(-30).join('\n')}`)
      .join('\n');
  }

  async #configure(): Promise<void> {
    for (const name of ['state', 'spool', 'munge']) mkdirSync(join(this.folder, name));
    chmodSync(this.folder, 0o755);
    writeFileSync(join(this.folder, 'munge', 'key'), randomBytes(1024), { mode: 0o400 });
    const [controllerPort, nodePort] = [await freePort(), await freePort()];
    writeFileSync(
      join(this.folder, 'slurm.conf'),
      `
ClusterName=xbm
SlurmctldHost=${hostname()}(127.0.0.1)
SlurmctldPort=${controllerPort}
SlurmdPort=${nodePort}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${join(this.folder, 'munge.socket')}
CredType=cred/munge
StateSaveLocation=${join(this.folder, 'state')}
SlurmdSpoolDir=${join(this.folder, 'spool')}
SlurmctldPidFile=${join(this.folder, 'slurmctld.pid')}
SlurmdPidFile=${join(this.folder, 'slurmd.pid')}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
KillWait=5
OverTimeLimit=0
NodeName=node1 NodeHostname=${hostname()} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=node1 Default=YES MaxTime=UNLIMITED State=UP
`,
    );
  }

  #startMunge(): void {
    const at = (name: string): string => join(this.folder, name);
    this.#daemon('munged', [
      '--foreground',
      '--force',
      `--socket=${at('munge.socket')}`,
      `--key-file=${at('munge/key')}`,
      `--pid-file=${at('munged.pid')}`,
      `--log-file=${at('munged.log')}`,
      `--seed-file=${at('munge/seed')}`,
    ]);
  }

  #daemon(name: string, args: readonly string[]): void {
    const child = spawn('sh', ['-c', `exec "$0" "$@" >> "$LOG" 2>&1`, name, ...args], {
      env: { ...this.env, LOG: join(this.folder, `${name}.out`) },
      stdio: 'ignore',
    });
    this.#daemons.set(name, child);
  }

  async #end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.#daemons.get(name);
    this.#daemons.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(timer);
  }

  /** Empty when the command fails. */
  #ask(command: string, args: readonly string[]): string {
    return spawnSync(command, args, { env: this.env, encoding: 'utf8', timeout: 30_000 }).stdout ?? '';
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    const end = Date.now() + 60_000;
    while (!holds()) {
      if (Date.now() > end) throw new Error(`waited a minute for ${what}\n${this.logs()}`);
      await delay(200);
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
