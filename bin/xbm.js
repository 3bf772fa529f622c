#!/usr/bin/env node
// Starts the compiled program; builds it first when a fresh checkout has no dist/ yet.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const entry = join(root, 'dist', 'cli', 'main.js');
if (!existsSync(entry)) {
  // A log that cannot be written (`2>/dev/full`) ends nothing.
  process.stderr.on('error', () => {});
  try {
    const tsc = join(
      dirname(createRequire(import.meta.url).resolve('typescript/package.json')),
      'bin',
      'tsc',
    );
    process.stderr.write('xbm: building dist (first start)\n');
    execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], {
      stdio: ['ignore', 2, 2],
    });
  } catch (error) {
    process.stderr.write(
      `xbm: dist/ is missing and could not be built (${error.message}). Run: npm ci && npm run build\n`,
    );
    process.exit(1);
  }
}
const { main } = await import(pathToFileURL(entry).href);
process.exitCode = await main(process.argv.slice(2));
