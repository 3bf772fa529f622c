import { writeFileSync } from 'node:fs';

/**
 * Writes all of it to an open file, or throws; unlike writeSync, which may write a part.
 * @param path named by the error: those of descriptors name none
 */
export function writeNamed(file: number, path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(file, bytes);
  } catch (error) {
    throw Object.assign(error as Error, { path });
  }
}
