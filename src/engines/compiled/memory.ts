/** @file Static memory plan: tensors whose lives do not overlap share a buffer. */

export interface Lifetime {
  readonly bytes: number;
  /** Index of the first and the last call that uses the tensor. */
  readonly first: number;
  readonly last: number;
}

export interface MemoryPlan {
  /** Bytes of each buffer. */
  readonly buffers: readonly number[];
  /** Buffer of each tensor, in the order given. */
  readonly assignment: readonly number[];
}

/**
 * Places the largest tensors first, each in the smallest buffer that is free during its whole life
 * (greedy by size: Pisarchyk and Lee 2020, arXiv:2001.03288).
 */
export function planMemory(tensors: readonly Lifetime[]): MemoryPlan {
  const buffers: { bytes: number; lives: Lifetime[] }[] = [];
  const assignment = new Array<number>(tensors.length);
  const bySize = tensors.map((_, i) => i).sort((a, b) => tensors[b].bytes - tensors[a].bytes || a - b);
  for (const index of bySize) {
    const tensor = tensors[index];
    const free = (lives: readonly Lifetime[]) =>
      lives.every(({ first, last }) => last < tensor.first || first > tensor.last);
    // Buffers are made in descending size, so the last free one is the smallest that fits.
    let chosen = buffers.findLastIndex(({ lives }) => free(lives));
    if (chosen < 0) chosen = buffers.push({ bytes: tensor.bytes, lives: [] }) - 1;
    buffers[chosen].lives.push(tensor);
    assignment[index] = chosen;
  }
  return { buffers: buffers.map(({ bytes }) => bytes), assignment };
}
