import { spawn, spawnSync } from 'node:child_process';

/**
 * Runs a command and collects what it prints.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, watch?: (stop: (why: string) => void) => () => void }} [options]
 *   watch: starts a watcher that may stop the command; returns what ends the watcher
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
export function run(command, args, { cwd, env = process.env, watch } = {}) {
  return new Promise((resolve) => {
    // A group of its own, so that stopping it also stops what it started.
    const detached = process.platform !== 'win32';
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached });
    const group = detached ? -child.pid : child.pid;
    let output = '';
    const stop = (why) => {
      output += `\n${why}`;
      kill(group);
    };
    const onSignal = () => kill(group);
    const endWatch = watch?.(stop);
    process.once('exit', onSignal);
    const finish = (ok) => {
      endWatch?.();
      process.removeListener('exit', onSignal);
      resolve({ ok, output: output.trim() });
    };
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => {
      output += error.message;
      finish(false);
    });
    child.on('close', (code) => finish(code === 0));
  });
}

function kill(target) {
  try {
    process.kill(target);
  } catch {
    // it has ended already
  }
}

/** Whether a command runs and exits with 0. */
export function works(command, args = ['--version']) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** The end of an output, for messages. */
export function lastLines(output, count) {
  return output.split('\n').slice(-count).join('\n');
}
