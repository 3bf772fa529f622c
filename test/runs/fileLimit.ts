/** @file Writes that a full disk cuts short: no file of the process may grow beyond 64 KiB. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { packageRoot } from '../../src/paths.js';

/** Runs `code` with all that a compiled module exports. @returns stderr; empty when nothing failed */
export async function runWithFileLimit(module: string, code: string): Promise<string> {
  const script = `const everything = await import(${JSON.stringify(join(packageRoot(), '.build', module))});
    Object.assign(globalThis, everything);
    await (async () => { await ${code}; })();`;
  const limited = `trap '' XFSZ; ulimit -f 64; exec "$0" --input-type=module --eval "$1"`;
  const child = spawn('bash', ['-c', limited, process.execPath, script]);
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  await once(child, 'close');
  return stderr;
}
