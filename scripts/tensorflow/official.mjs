// The official download: tfjs-node's own install script, which knows where its files are, run in a copy of the package.
import { cpSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { SetupError } from './failure.mjs';
import { run } from './process.mjs';
import { bindingsIn } from './source.mjs';

const STALLED_SECONDS = 60;
const REPORT_SECONDS = 10;

/**
 * Fills staged/deps/lib and staged/lib.
 * @param {{ packageFolder: string, staged: string, gpu: boolean, say: (text: string) => void }} setup
 * @throws SetupError when the download host is out of reach, or has nothing for this machine
 */
export async function downloadOfficial({ packageFolder, staged, gpu, say }) {
  for (const name of ['package.json', 'binding.gyp', 'binding', 'scripts'])
    cpSync(join(packageFolder, name), join(staged, name), { recursive: true });
  // npm run has node_modules/.bin on the PATH, where the script finds node-pre-gyp; without npm it is put there.
  const bins = [packageFolder, dirname(dirname(dirname(packageFolder)))].map((folder) =>
    join(folder, 'node_modules', '.bin'),
  );
  const { ok, output } = await run(
    process.execPath,
    ['scripts/install.js', ...(gpu ? ['gpu', 'download'] : [])],
    {
      cwd: staged,
      env: { ...process.env, PATH: [...bins, process.env.PATH].join(delimiter) },
      watch: (stop) => watchGrowth(staged, say, stop),
    },
  );
  if (!ok || bindingsIn(staged).length === 0 || !existsSync(join(staged, 'deps', 'lib')))
    throw new SetupError(`the official download did not work: ${reasonIn(output)}`);
  for (const name of readdirSync(join(staged, 'deps')).filter((entry) => entry !== 'lib'))
    rmSync(join(staged, 'deps', name), { recursive: true });
}

/** The line of an install log that says what went wrong. */
export function reasonIn(output) {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line && !/^(at |node:|Node\.js v|\^|throw |Emitted )/.test(line));
  const error = lines.find((line) => /\b(E[A-Z]{4,}|[A-Z]\w*Error|Error|stalled)\b/.test(line));
  return (error ?? lines.at(-1) ?? 'no reason given').replace(/^(Uncaught )?Error: /, '');
}

/** Says how much has arrived, and stops a download that no longer grows. */
function watchGrowth(folder, say, stop) {
  let largest = 0;
  let grewAt = Date.now();
  let saidAt = Date.now();
  const timer = setInterval(() => {
    const bytes = folderBytes(folder);
    if (bytes > largest) {
      largest = bytes;
      grewAt = Date.now();
    } else if (Date.now() - grewAt > STALLED_SECONDS * 1000) {
      stop(`stalled: nothing arrived for ${STALLED_SECONDS} seconds`);
    }
    if (Date.now() - saidAt >= REPORT_SECONDS * 1000) {
      saidAt = Date.now();
      say(`  ${Math.round(largest / 1e6)} MB so far`);
    }
  }, 1000);
  return () => clearInterval(timer);
}

function folderBytes(folder) {
  return readdirSync(folder, { recursive: true }).reduce((sum, name) => {
    const { size } = statSync(join(folder, name), { throwIfNoEntry: false }) ?? { size: 0 };
    return sum + size;
  }, 0);
}
