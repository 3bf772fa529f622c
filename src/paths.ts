import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the xbm package: where configs/ and assets/ lie, for dist/ and for the test build alike. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'xbm') return folder;
    const parent = dirname(folder);
    if (parent === folder) throw new Error('the xbm package has no package.json above its code');
    folder = parent;
  }
}

/** This program's version, from package.json. */
export function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')).version;
}

/** Where xbm keeps backbones and pixel caches: `$XBM_HOME` unless it is empty, else `~/.xbm`. */
export function xbmHome(): string {
  return process.env.XBM_HOME || join(homedir(), '.xbm');
}
