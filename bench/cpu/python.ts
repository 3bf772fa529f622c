/** @file A Python with PyTorch, outside of everything else: in .cache/torch, made on first use. */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/paths.js';

/**
 * The Python interpreter of `$XBM_BENCH_PYTHON`, else of a virtual environment with PyTorch from PyPI.
 * @throws Error with the reason when there is no Python or PyPI cannot be reached
 */
export function pythonWithTorch(): { python: string; version: string } {
  const python = process.env.XBM_BENCH_PYTHON ?? virtualEnvironment();
  const version = run(python, ['-c', 'import torch; print(torch.__version__)']).trim();
  return { python, version };
}

function virtualEnvironment(): string {
  const folder = join(packageRoot(), '.cache', 'torch');
  const python = join(folder, 'bin', 'python');
  if (existsSync(python)) return python;
  console.error(
    `installing PyTorch from PyPI into ${folder}: once, about 5 GB with the CUDA libraries it links to`,
  );
  try {
    run('python3', ['-m', 'venv', folder]);
    run(python, ['-m', 'pip', 'install', '--quiet', '--no-cache-dir', 'torch', 'numpy']);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return python;
}

function run(command: string, parameters: string[]): string {
  try {
    return execFileSync(command, parameters, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(stderr?.trim().split('\n').at(-1) || message);
  }
}
