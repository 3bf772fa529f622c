import { closeSync, fsyncSync, ftruncateSync, openSync } from 'node:fs';
import { writeNamed } from './writeNamed.js';

/** Appends records to a JSON-lines file; resuming cuts it back to where the checkpoint was taken. */
export class MetricsLog {
  readonly #file: number;
  #bytes: number;

  /** @param keepBytes length to cut the file to, 0 for a fresh run; it is at least that long */
  constructor(
    private readonly path: string,
    keepBytes: number,
  ) {
    this.#file = openSync(path, 'a+');
    this.#bytes = keepBytes;
    ftruncateSync(this.#file, keepBytes);
  }

  /** Length so far. */
  get bytes(): number {
    return this.#bytes;
  }

  append(record: object): void {
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    writeNamed(this.#file, this.path, line);
    this.#bytes += line.length;
  }

  /** Forces everything onto the disk. */
  sync(): void {
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}
