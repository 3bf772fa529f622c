/** @file Which state of the program's code runs: all states between two releases have one version. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../paths.js';

export interface ProgramCode {
  /** Commit of the checkout that xbm runs from, with `-dirty` when files differ from it; null without git. */
  readonly commit: string | null;
  /** SHA-256 of the compiled files. */
  readonly codeSha256: string;
}

export function programCode(): ProgramCode {
  const code = fileURLToPath(new URL('..', import.meta.url));
  return { commit: commitOf(packageRoot()), codeSha256: hashCode(code) };
}

/** SHA-256 over names and content of all .js files below a folder. */
export function hashCode(folder: string): string {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const hash = createHash('sha256');
  for (const name of names.filter((file) => file.endsWith('.js')).sort()) {
    const content = readFileSync(join(folder, name));
    hash.update(`${name.replaceAll(sep, '/')}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** null when the folder itself is no checkout, or git is missing or refuses. */
export function commitOf(folder: string): string | null {
  if (!existsSync(join(folder, '.git'))) return null;
  try {
    const output = execFileSync('git', ['describe', '--always', '--exclude=*', '--abbrev=40', '--dirty'], {
      cwd: folder,
      encoding: 'utf8',
      // Reads only: a run must not wait for another git, nor another git for it.
      env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5000,
    });
    return output.trim();
  } catch {
    return null;
  }
}
