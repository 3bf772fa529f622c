/** @file PyTorch with CUDA, where this machine has it: nothing is installed for it. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../src/paths.js';

/** The Python of `$XBM_BENCH_PYTHON`, else `python3`; null, with a message, when it has no PyTorch that finds a GPU. */
export function cudaPython(): string | null {
  const python = process.env.XBM_BENCH_PYTHON ?? 'python3';
  const script = 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print(torch.__version__)';
  try {
    const version = execFileSync(python, ['-c', script], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    console.log(`beside it PyTorch ${version.trim()} with CUDA, channels-last, bf16`);
    return python;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    console.log(`no PyTorch with CUDA beside it: ${stderr?.trim().split('\n').at(-1) || message}`);
    return null;
  }
}

export const peerCommand = (
  python: string,
  problem: string,
  task: 'train' | 'evaluate',
  mode: 'eager' | 'compile',
): string[] => [
  python,
  join(packageRoot(), 'bench', 'peer', 'peer.py'),
  problem,
  task,
  'bf16',
  mode,
  '4', // threads, for what stays on the CPU
  'cuda',
];
